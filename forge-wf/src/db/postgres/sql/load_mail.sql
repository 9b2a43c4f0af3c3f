-- load_mail: of each run of $1 a page of the oldest mails that are not taken, a page of the oldest of kinds up to $4 that are not
-- noticed, a page of the commands that are not taken, those first that any worker obeys, and all answers of children that are not
-- taken; runs in the order asked for. A page has at most $2 mails, and ends behind the one that makes it $3 bytes long. The last
-- column: if mail is of the first page, how many mails that was cut from; $2 + 1 means that, or more.
--
-- What made a run due is un-noticed and of a kind this build can read, and may stand behind thousands of events that nobody
-- took. A command may also stand behind thousands that nobody noticed, and may be all that its run was claimed for. What a worker
-- noticed and was not given the time to obey or to hand over is found here only: events are also found by their name. Bodies are
-- read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL,
    mail.retries, asked.place, kept.there
FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (run_id, place), LATERAL (
    SELECT it.id, max(it.there) AS there
    FROM (
        SELECT untaken.id, count(*) OVER () AS there,
            row_number() OVER (ORDER BY untaken.no) AS place,
            sum(untaken.bytes) OVER (ORDER BY untaken.no) - untaken.bytes AS bytes_before
        FROM (
            SELECT oldest.id, oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
            FROM forge_wf.inbox AS oldest
            WHERE oldest.run_id = asked.run_id AND oldest.taken_at IS NULL AND oldest.no > 0
            ORDER BY oldest.no LIMIT $2 + 1
        ) AS untaken
        UNION ALL
        SELECT unnoticed.id, NULL, 1,
            sum(unnoticed.bytes) OVER (ORDER BY unnoticed.no) - unnoticed.bytes
        FROM (
            SELECT oldest.id, oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
            FROM forge_wf.inbox AS oldest
            WHERE oldest.run_id = asked.run_id AND oldest.noticed_at IS NULL AND oldest.kind BETWEEN 0 AND $4
            ORDER BY oldest.no LIMIT $2
        ) AS unnoticed
        UNION ALL
        SELECT command.id, NULL, 1, 0 FROM (
            SELECT mail.id FROM forge_wf.inbox AS mail
            WHERE mail.run_id = asked.run_id AND mail.taken_at IS NULL AND mail.kind NOT IN (0, 7, 8) AND mail.kind <> 1
              AND mail.kind BETWEEN 0 AND $4
            ORDER BY mail.kind NOT IN (2, 5, 10, 11), mail.no LIMIT $2
        ) AS command
        UNION ALL
        SELECT answer.id, NULL, 1, 0 FROM forge_wf.inbox AS answer
        WHERE answer.run_id = asked.run_id AND answer.taken_at IS NULL AND answer.kind NOT IN (0, 7, 8) AND answer.kind = 1
    ) AS it
    WHERE it.place <= $2 AND it.bytes_before < $3
    GROUP BY it.id
) AS kept JOIN forge_wf.inbox AS mail ON mail.id = kept.id
ORDER BY asked.place, mail.no
