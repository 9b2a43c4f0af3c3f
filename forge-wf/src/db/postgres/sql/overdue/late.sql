-- late: the runs that go forward, are past their deadline and would not be claimed: blocked and paused ones (states 4 and 3), those whose
-- delay is not over, and those that no live worker offers to run; without those that have mail of kind $1 already, none of $2, and only of
-- $3, unless that is null. At most 1,000, the latest first. Of more than 10,000 runs that are late, those that wait for a worker with a
-- free slot stand before the others. The first part of a statement; `remind` or `list` follows.
WITH live (id) AS MATERIALIZED (
    SELECT id FROM forge_wf.workers WHERE lease_until > now()
), past AS MATERIALIZED (
    SELECT run.id, run.state, run.needs, run.worker_id, run.ready_at, coalesce(run.retries, 0) AS retries
    FROM forge_wf.runs AS run
    WHERE run.deadline_at <= now() AND run.phase = 0
      AND run.id <> ALL ($2::uuid[]) AND ($3::uuid[] IS NULL OR run.id = ANY ($3))
    ORDER BY run.deadline_at LIMIT 10000
), late AS MATERIALIZED (
    SELECT past.id, past.retries FROM past
    WHERE past.worker_id IS NULL
      AND (past.state IN (3, 4) OR past.state = 0 AND past.ready_at > now() OR NOT EXISTS (
          SELECT FROM live JOIN forge_wf.offers AS offer ON offer.worker_id = live.id AND offer.needs = past.needs
      ))
      AND NOT EXISTS (
          SELECT FROM forge_wf.inbox AS mail WHERE mail.run_id = past.id AND mail.noticed_at IS NULL AND mail.kind = $1
            AND mail.kind NOT IN (0, 1, 7, 8)
            AND (mail.retries IS NULL OR mail.retries = past.retries)
      )
    LIMIT 1000
)
