-- owned_by_gone: up to $2 runs of worker $1, which is gone, but none of $3; suspects last.
SELECT id FROM forge_wf.runs
WHERE worker_id = $1 AND id <> ALL ($3::uuid[])
ORDER BY takeovers >= 2, id LIMIT $2
