-- births: one row for each new run; its `start` entry is among the entries. A key that is held, or an id that exists,
-- refuses the batch.
, births AS (
    INSERT INTO forge_wf.runs (
        id, generation, seed, workflow, version, asked_version, definition, start_needs, key, holds_key,
        phase, state, needs, queue, priority, ready_at, worker_id, parent_id, parent_call, owner,
        trace_parent, tags, deadline_at, block_reason, blocked_build, failure, created_at, ended_at
    )
    SELECT birth.id, birth.generation, birth.seed, birth.workflow, birth.version, birth.asked_version, birth.definition,
        birth.start_needs, birth.key, birth.key IS NOT NULL, birth.phase, birth.state, birth.needs, birth.queue,
        birth.priority, coalesce(now() + birth.delay_us * interval '1 microsecond', birth.due_at),
        CASE WHEN birth.keep THEN $1 END, birth.parent_id, birth.parent_call, birth.owner, birth.trace_parent,
        birth.tags, birth.deadline_at, birth.block_reason, birth.blocked_build, birth.failure,
        now(), CASE WHEN birth.phase = 2 THEN now() END
    FROM fence, unnest(
        $36::uuid[], $37::int[], $38::bigint[], $39::text[], $40::text[], $41::text[], $42::uuid[], $43::uuid[],
        $44::text[], $45::smallint[], $46::smallint[], $47::uuid[], $48::text[], $49::smallint[], $50::bigint[],
        $51::timestamptz[], $52::bool[], $53::uuid[], $54::text[], $55::text[], $56::text[], $57::text[],
        $58::timestamptz[], $59::text[], $60::text[], $61::text[]
    ) AS birth (
        id, generation, seed, workflow, version, asked_version, definition, start_needs,
        key, phase, state, needs, queue, priority, delay_us,
        due_at, keep, parent_id, parent_call, owner, trace_parent, tags,
        deadline_at, block_reason, blocked_build, failure
    )
)
