-- find_started: the run in whose favour a start of id $1, workflow $2 and key $3 wrote nothing; the id counts first.
SELECT id FROM (
    SELECT id, 0 AS place FROM forge_wf.runs WHERE id = $1
    UNION ALL
    SELECT id, 1 AS place FROM forge_wf.runs WHERE workflow = $2 AND key = $3 AND holds_key
) AS found ORDER BY place LIMIT 1
