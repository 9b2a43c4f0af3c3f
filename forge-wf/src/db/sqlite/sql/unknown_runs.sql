-- unknown_runs: runs whose phase or state this build does not know, in the order of their ids, at most ?1: id, workflow, phase, state.
--
-- The condition is that of the index word for word, or all runs would be walked over.
SELECT id, workflow, phase, state
FROM forge_wf_runs
WHERE phase NOT BETWEEN 0 AND 2 OR state NOT BETWEEN 0 AND 15 OR state BETWEEN 5 AND 9
ORDER BY id LIMIT ?1
