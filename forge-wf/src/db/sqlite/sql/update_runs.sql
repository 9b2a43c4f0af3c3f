-- update_runs: sets rows to their images where the last parameter is their owner under that claim.
-- The `+` keeps the planner off the index of workers: images are walked, runs found by id.
WITH image (
    id, claim_no, phase, state, worker_id, ready_at, generation, needs, unbind, block_reason, blocked_build, failure, ended_at,
    seed
) AS (VALUES {rows})
UPDATE forge_wf_runs AS run SET
    phase = image.phase,
    state = image.state,
    worker_id = image.worker_id,
    ready_at = image.ready_at,
    generation = image.generation,
    seed = coalesce(image.seed, run.seed),
    needs = iif(image.unbind, run.start_needs, image.needs),
    definition = iif(image.unbind, NULL, run.definition),
    version = iif(image.unbind, run.asked_version, run.version),
    block_reason = image.block_reason,
    blocked_build = image.blocked_build,
    failure = image.failure,
    ended_at = image.ended_at
FROM image
WHERE run.id = image.id AND run.claim_no = image.claim_no AND +run.worker_id = ?
