-- overdue: the runs that at ?1 go forward, are past their deadline and would not be claimed: blocked and paused ones (states 4 and
-- 3), those whose delay is not over, and those that no live worker offers to run; without those that have mail of kind ?2 already, and
-- none of ?3 (JSON: ids in hex). At most 1,000, the latest first. Of more than 10,000 runs that are late, those that wait for a worker with a free slot stand before the others.
WITH live (id) AS MATERIALIZED (
    SELECT id FROM forge_wf_workers WHERE lease_until > ?1
), late AS MATERIALIZED (
    SELECT run.id, run.state, run.needs, run.worker_id, run.ready_at,
        coalesce(run.retries, 0) AS retries
    FROM forge_wf_runs AS run INDEXED BY forge_wf_runs_deadline
    WHERE run.deadline_at <= ?1 AND run.phase = 0 AND length(run.id) = 16
      AND (?3 = '[]' OR run.id NOT IN (SELECT unhex(value) FROM json_each(?3)))
    ORDER BY run.deadline_at LIMIT 10000
)
SELECT late.id FROM late
WHERE late.worker_id IS NULL
  AND (late.state IN (3, 4) OR late.state = 0 AND late.ready_at > ?1 OR NOT EXISTS (
      SELECT 1 FROM forge_wf_offers AS offer WHERE offer.needs = late.needs AND offer.worker_id IN (SELECT id FROM live)
  ))
  AND NOT EXISTS (
      SELECT 1 FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_orders
      WHERE mail.run_id = late.id AND mail.noticed_at IS NULL AND mail.kind NOT BETWEEN 0 AND 1 AND mail.kind NOT BETWEEN 7 AND 8
        AND mail.kind = ?2
        AND (mail.retries IS NULL OR mail.retries = late.retries)
  )
LIMIT 1000
