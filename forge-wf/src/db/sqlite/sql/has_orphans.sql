-- has_orphans: whether any run's worker is gone; mostly none is, and then free_runs need not look at journals.
SELECT EXISTS (
    SELECT 1 FROM forge_wf_runs WHERE worker_id IS NOT NULL AND worker_id NOT IN (SELECT id FROM forge_wf_workers)
)
