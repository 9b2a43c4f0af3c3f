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
    FROM fence, (
        SELECT
            unnest($37::uuid[]) AS id, unnest($38::int[]) AS generation, unnest($39::bigint[]) AS seed,
            unnest($40::text[]) AS workflow, unnest($41::text[]) AS version, unnest($42::text[]) AS asked_version,
            unnest($43::uuid[]) AS definition, unnest($44::uuid[]) AS start_needs, unnest($45::text[]) AS key,
            unnest($46::smallint[]) AS phase, unnest($47::smallint[]) AS state, unnest($48::uuid[]) AS needs,
            unnest($49::text[]) AS queue, unnest($50::smallint[]) AS priority, unnest($51::bigint[]) AS delay_us,
            unnest($52::timestamptz[]) AS due_at, unnest($53::bool[]) AS keep, unnest($54::uuid[]) AS parent_id,
            unnest($55::text[]) AS parent_call, unnest($56::text[]) AS owner, unnest($57::text[]) AS trace_parent,
            unnest($58::text[]) AS tags, unnest($59::timestamptz[]) AS deadline_at,
            unnest($60::text[]) AS block_reason, unnest($61::text[]) AS blocked_build, unnest($62::text[]) AS failure
    ) AS birth
)
