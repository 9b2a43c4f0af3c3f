-- unnoticed_mail: of the runs worker ?1 owns, but for those in ?5 (a JSON array of their ids in hexadecimal digits), in order of
-- arrival: of each run a page of the oldest, of all together four pages at most. A page has at most ?2 mails, and ends behind the
-- one that makes it ?3 bytes long. Only of kinds up to ?4, which this build can read.
--
-- Mail is walked first, by its own index: un-noticed mail is rare, while noticed mail and runs are not. `letter` hops from one
-- run that has some to the next, so the length of a flood to one counts for nothing. Bodies are read last, of what is kept:
-- their length is known without.
WITH RECURSIVE letter (run_id) AS (
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed WHERE mail.noticed_at IS NULL
    )
    UNION ALL
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
    ) FROM letter WHERE letter.run_id IS NOT NULL
),
page (no, bytes) AS (
    SELECT mail.no, coalesce(octet_length(mail.body), 0)
    FROM letter CROSS JOIN forge_wf_runs AS run CROSS JOIN forge_wf_inbox AS mail
    WHERE run.id = letter.run_id AND +run.worker_id = ?1 AND hex(letter.run_id) NOT IN (SELECT value FROM json_each(?5))
        AND mail.no IN (
        SELECT no FROM (
            SELECT no, sum(bytes) OVER (ORDER BY no) - bytes AS bytes_before
            FROM (
                SELECT oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
                FROM forge_wf_inbox AS oldest INDEXED BY forge_wf_inbox_unnoticed
                WHERE oldest.run_id = run.id AND oldest.noticed_at IS NULL AND oldest.kind BETWEEN 0 AND ?4
                ORDER BY oldest.no LIMIT ?2
            )
        )
        WHERE bytes_before < ?3
    )
)
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, 0, mail.retries
FROM (
    SELECT no, row_number() OVER (ORDER BY no) AS place, sum(bytes) OVER (ORDER BY no) - bytes AS bytes_before FROM page
) AS kept CROSS JOIN forge_wf_inbox AS mail
WHERE mail.no = kept.no AND kept.place <= 4 * ?2 AND kept.bytes_before < 4 * ?3
ORDER BY mail.no
