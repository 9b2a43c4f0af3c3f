-- find_started: the run in whose favour a start of id ?1, workflow ?2 and key ?3 wrote nothing; the id counts first.
SELECT id FROM forge_wf_runs WHERE id = ?1
UNION ALL
SELECT id FROM forge_wf_runs WHERE workflow = ?2 AND key = ?3 AND holds_key = 1
LIMIT 1
