-- gone_workers: workers that own runs and whose rows are gone. Hops through the index from one owner to the next, so it costs as many
-- steps as there are workers.
WITH RECURSIVE owner (id) AS (
    SELECT (SELECT min(worker_id) FROM forge_wf_runs WHERE worker_id IS NOT NULL)
    UNION ALL
    SELECT (SELECT min(worker_id) FROM forge_wf_runs WHERE worker_id > owner.id) FROM owner WHERE owner.id IS NOT NULL
)
SELECT owner.id FROM owner WHERE owner.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM forge_wf_workers AS it WHERE it.id = owner.id)
