-- updates: sets rows to their images where $1 owns them under that claim. IS NOT DISTINCT FROM keeps the planner off the
-- index of workers: images are walked, runs found by id.
, updated AS (
    UPDATE forge_wf.runs AS run SET
        phase = image.phase,
        state = image.state,
        worker_id = CASE WHEN image.keep THEN $1 END,
        ready_at = CASE WHEN image.due_now THEN now() ELSE image.due_at END,
        generation = image.generation,
        needs = CASE WHEN image.unbind THEN run.start_needs ELSE image.needs END,
        definition = CASE WHEN image.unbind THEN NULL ELSE run.definition END,
        version = CASE WHEN image.unbind THEN run.asked_version ELSE run.version END,
        block_reason = image.block_reason,
        blocked_build = image.blocked_build,
        failure = image.failure,
        ended_at = CASE WHEN image.phase = 2 THEN now() END
    FROM fence, unnest(
        $23::uuid[], $24::bigint[], $25::smallint[], $26::smallint[], $27::bool[], $28::bool[], $29::timestamptz[],
        $30::int[], $31::uuid[], $32::bool[], $33::text[], $34::text[], $35::text[]
    ) AS image (
        id, claim_no, phase, state, keep, due_now, due_at,
        generation, needs, unbind, block_reason, blocked_build, failure
    )
    WHERE run.id = image.id AND run.claim_no = image.claim_no AND run.worker_id IS NOT DISTINCT FROM $1
    RETURNING run.id
)
