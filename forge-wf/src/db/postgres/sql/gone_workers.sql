-- gone_workers: workers that own runs and whose rows are gone. Hops through the index from one owner to the next, so it costs as many
-- steps as there are workers.
WITH RECURSIVE owner (id) AS (
    (SELECT worker_id FROM forge_wf.runs WHERE worker_id IS NOT NULL ORDER BY worker_id LIMIT 1)
    UNION ALL
    SELECT (SELECT worker_id FROM forge_wf.runs WHERE worker_id > owner.id ORDER BY worker_id LIMIT 1)
    FROM owner WHERE owner.id IS NOT NULL
)
SELECT owner.id FROM owner
WHERE owner.id IS NOT NULL AND NOT EXISTS (SELECT FROM forge_wf.workers WHERE workers.id = owner.id)
