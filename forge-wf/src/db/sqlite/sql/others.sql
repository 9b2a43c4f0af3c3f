-- others: some runs besides run ?1, with their generations: next to it in the order of ids, the oldest, and the newest.
SELECT id, generation FROM (SELECT id, generation FROM forge_wf_runs WHERE id < ?1 ORDER BY id DESC LIMIT 3)
UNION
SELECT id, generation FROM (SELECT id, generation FROM forge_wf_runs WHERE id > ?1 ORDER BY id LIMIT 3)
UNION
SELECT id, generation FROM (SELECT id, generation FROM forge_wf_runs WHERE id <> ?1 ORDER BY id LIMIT 3)
UNION
SELECT id, generation FROM (SELECT id, generation FROM forge_wf_runs WHERE id <> ?1 ORDER BY id DESC LIMIT 3)
