-- blocked: runs that were blocked by the code of a build other than $1 and need one of $2; of those only $3, unless it is null. The
-- first part of a statement; `make_ready` or `list` follows.
--
-- SKIP LOCKED: another worker that registers at the same moment does the same for the same runs.
WITH blocked AS MATERIALIZED (
    SELECT run.id FROM forge_wf.runs AS run
    WHERE run.state = 4 AND run.needs = ANY ($2) AND run.worker_id IS NULL
      AND run.block_reason IN ('panic', 'foreign_await', 'divergence', 'refused', 'journal_limit', 'unreadable')
      AND run.blocked_build IS DISTINCT FROM $1 AND ($3::uuid[] IS NULL OR run.id = ANY ($3))
    FOR UPDATE SKIP LOCKED
)
