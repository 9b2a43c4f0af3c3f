-- load_mail: of run ?1 a page of the oldest mails that are not taken, a page of the oldest of kinds up to ?4 that are not noticed, a
-- page of the commands that are not taken, those first that any worker obeys, and all answers of children that are not taken; in
-- order of arrival. A page has at most ?2 mails, and ends behind the one that makes it ?3 bytes long. The last column: if mail is
-- of the first page, how many mails that was cut from; ?2 + 1 means that, or more.
--
-- What made a run due is un-noticed and of a kind this build can read, and may stand behind thousands of events that nobody
-- took. A command may also stand behind thousands that nobody noticed, and may be all that its run was claimed for. What a worker
-- noticed and was not given the time to obey or to hand over is found here only: events are also found by their name. Bodies are
-- read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL, mail.retries, kept.there
FROM (
    SELECT no, max(there) AS there
    FROM (
        SELECT no, count(*) OVER () AS there,
            row_number() OVER (ORDER BY no) AS place,
            sum(bytes) OVER (ORDER BY no) - bytes AS bytes_before
        FROM (
            SELECT no, coalesce(octet_length(body), 0) AS bytes
            FROM forge_wf_inbox INDEXED BY forge_wf_inbox_untaken
            WHERE run_id = ?1 AND taken_at IS NULL
            ORDER BY no LIMIT ?2 + 1
        )
        UNION ALL
        SELECT no, NULL, 1, sum(bytes) OVER (ORDER BY no) - bytes
        FROM (
            SELECT no, coalesce(octet_length(body), 0) AS bytes
            FROM forge_wf_inbox INDEXED BY forge_wf_inbox_unnoticed
            WHERE run_id = ?1 AND noticed_at IS NULL AND kind BETWEEN 0 AND ?4
            ORDER BY no LIMIT ?2
        )
        UNION ALL
        SELECT no, NULL, 1, 0 FROM (
            SELECT no FROM forge_wf_inbox INDEXED BY forge_wf_inbox_unanswered
            WHERE run_id = ?1 AND taken_at IS NULL AND kind <> 0 AND kind NOT BETWEEN 7 AND 8 AND kind <> 1 AND kind BETWEEN 0 AND ?4
            ORDER BY kind NOT IN (2, 5, 10, 11), no LIMIT ?2
        )
        UNION ALL
        SELECT no, NULL, 1, 0 FROM forge_wf_inbox INDEXED BY forge_wf_inbox_unanswered
        WHERE run_id = ?1 AND taken_at IS NULL AND kind <> 0 AND kind NOT BETWEEN 7 AND 8 AND kind = 1
    )
    WHERE place <= ?2 AND bytes_before < ?3
    GROUP BY no
) AS kept CROSS JOIN forge_wf_inbox AS mail
WHERE mail.no = kept.no
ORDER BY mail.no
