-- runs_with_mail: those of the runs $1 that have mail nobody has noticed, of kinds up to $2, which this build can read. Bodies are
-- not read, and the limit ends the walk through a flood at its first mail.
SELECT asked.run_id
FROM unnest($1::uuid[]) AS asked (run_id), LATERAL (
    SELECT 1 FROM forge_wf.inbox AS mail
    WHERE mail.run_id = asked.run_id AND mail.noticed_at IS NULL AND mail.kind BETWEEN 0 AND $2
    ORDER BY mail.no LIMIT 1
) AS found
