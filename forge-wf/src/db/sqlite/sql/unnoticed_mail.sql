-- unnoticed_mail: of the runs worker ?1 owns, in order of arrival: of each run the oldest ?2, of all together at most ?3.
-- Only of kinds up to ?4, which this build can read.
--
-- Mail is walked first, by its own index: un-noticed mail is rare, while noticed mail and runs are not. `letter` hops from one
-- run that has some to the next, so the length of a flood to one counts for nothing.
WITH RECURSIVE letter (run_id) AS (
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed WHERE mail.noticed_at IS NULL
    )
    UNION ALL
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
    ) FROM letter WHERE letter.run_id IS NOT NULL
)
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, 0
FROM letter CROSS JOIN forge_wf_runs AS run CROSS JOIN forge_wf_inbox AS mail
WHERE run.id = letter.run_id AND +run.worker_id = ?1 AND mail.no IN (
    SELECT oldest.no FROM forge_wf_inbox AS oldest INDEXED BY forge_wf_inbox_unnoticed
    WHERE oldest.run_id = run.id AND oldest.noticed_at IS NULL AND oldest.kind BETWEEN 0 AND ?4
    ORDER BY oldest.no LIMIT ?2
)
ORDER BY mail.no LIMIT ?3
