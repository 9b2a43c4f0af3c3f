-- unnoticed_mail: of the runs worker $1 owns, in order of arrival: of each run the oldest $2, of all together at most $3.
-- Only of kinds up to $4, which this build can read.
--
-- Mail is walked first (IS NOT DISTINCT FROM keeps the planner off the index of workers): un-noticed mail is rare, runs are
-- not. `letter` hops through the index from one run that has some to the next, so the length of a flood to one counts for
-- nothing.
WITH RECURSIVE letter (run_id) AS (
    (SELECT mail.run_id FROM forge_wf.inbox AS mail WHERE mail.noticed_at IS NULL ORDER BY mail.run_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT mail.run_id FROM forge_wf.inbox AS mail
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
        ORDER BY mail.run_id LIMIT 1
    ) FROM letter WHERE letter.run_id IS NOT NULL
)
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, false
FROM letter
JOIN forge_wf.runs AS run ON run.id = letter.run_id AND run.worker_id IS NOT DISTINCT FROM $1,
LATERAL (
    SELECT * FROM forge_wf.inbox AS mail
    WHERE mail.run_id = run.id AND mail.noticed_at IS NULL AND mail.kind BETWEEN 0 AND $4
    ORDER BY mail.no LIMIT $2
) AS mail
ORDER BY mail.no LIMIT $3
