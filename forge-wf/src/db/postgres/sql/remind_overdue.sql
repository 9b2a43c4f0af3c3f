-- remind_overdue: sends mail of kind $1 to the runs that go forward, are past their deadline and would not be claimed: blocked and
-- paused ones (states 4 and 3), those whose delay is not over, and those that no live worker offers to run. One row for each; at most 1,000, the latest first.
-- Of more than 10,000 runs that are late, those that wait for a worker with a free slot stand before the others.
WITH live (id) AS MATERIALIZED (
    SELECT id FROM forge_wf.workers WHERE lease_until > now()
), late AS MATERIALIZED (
    SELECT run.id, run.state, run.needs, run.worker_id, run.ready_at, coalesce(run.retries, 0) AS retries
    FROM forge_wf.runs AS run
    WHERE run.deadline_at <= now() AND run.phase = 0
    ORDER BY run.deadline_at LIMIT 10000
)
INSERT INTO forge_wf.inbox (id, run_id, kind, name, sent_at, retries)
SELECT gen_random_uuid(), late.id, $1, 'deadline', now(), late.retries FROM late
WHERE late.worker_id IS NULL
  AND (late.state IN (3, 4) OR late.state = 0 AND late.ready_at > now() OR NOT EXISTS (
      SELECT FROM live JOIN forge_wf.offers AS offer ON offer.worker_id = live.id AND offer.needs = late.needs
  ))
  AND NOT EXISTS (
      SELECT FROM forge_wf.inbox AS mail WHERE mail.run_id = late.id AND mail.noticed_at IS NULL AND mail.kind = $1
        AND mail.kind NOT IN (0, 1, 7, 8)
        AND (mail.retries IS NULL OR mail.retries = late.retries)
  )
LIMIT 1000
RETURNING run_id
