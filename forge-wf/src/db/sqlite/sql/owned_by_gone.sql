-- owned_by_gone: up to ?2 runs of worker ?1, which is gone, but none of ?3 (JSON: ids in hex); suspects last. Of what is no id none.
SELECT id FROM forge_wf_runs
WHERE worker_id = ?1 AND (?3 = '[]' OR id NOT IN (SELECT unhex(value) FROM json_each(?3))) AND length(id) = 16
ORDER BY takeovers >= 2, id LIMIT ?2
