-- next_due: when, after ?2, the first run is due that nobody owns and that needs one of the offers ?1 (JSON as in claim_runs); and of what
-- is due at ?2 something that has no id of 16 bytes. After a claim that found nothing, little else is due.
-- Hops from one priority to the next as claim_runs does, and looks at one run of each.
WITH RECURSIVE level (needs, priority) AS (
    SELECT wanted.needs, (
        SELECT max(run.priority) FROM forge_wf_runs AS run
        WHERE run.needs = wanted.needs
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
    ) FROM (SELECT DISTINCT unhex(value ->> 0) AS needs FROM json_each(?1)) AS wanted
    UNION ALL
    SELECT level.needs, (
        SELECT max(run.priority) FROM forge_wf_runs AS run
        WHERE run.needs = level.needs AND run.priority < level.priority
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
    ) FROM level WHERE level.priority IS NOT NULL
)
SELECT min((
    SELECT min(run.ready_at) FROM forge_wf_runs AS run
    WHERE run.needs = level.needs AND run.priority = level.priority AND run.ready_at > ?2
      AND run.worker_id IS NULL AND run.state IN (0, 2)
)), (
    SELECT run.id FROM level CROSS JOIN forge_wf_runs AS run
    WHERE run.needs = level.needs AND run.priority = level.priority AND run.ready_at <= ?2
      AND run.worker_id IS NULL AND run.state IN (0, 2) AND length(run.id) <> 16
    LIMIT 1
) FROM level WHERE level.priority IS NOT NULL
