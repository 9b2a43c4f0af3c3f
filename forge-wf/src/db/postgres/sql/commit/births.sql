-- births: one row for each new run; its `start` entry is among the entries. A key that is held, or an id that exists,
-- refuses the batch. A timeout counts from when the run is due, by this server's clock.
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
        birth.tags,
        least(birth.deadline_at, now() + (coalesce(birth.delay_us, 0) + birth.timeout_us) * interval '1 microsecond'),
        birth.block_reason, birth.blocked_build, birth.failure,
        now(), CASE WHEN birth.phase = 2 THEN now() END
    FROM fence, (
        SELECT
            unnest($42::uuid[]) AS id, unnest($43::int[]) AS generation, unnest($44::bigint[]) AS seed,
            unnest($45::text[]) AS workflow, unnest($46::text[]) AS version, unnest($47::text[]) AS asked_version,
            unnest($48::uuid[]) AS definition, unnest($49::uuid[]) AS start_needs, unnest($50::text[]) AS key,
            unnest($51::smallint[]) AS phase, unnest($52::smallint[]) AS state, unnest($53::uuid[]) AS needs,
            unnest($54::text[]) AS queue, unnest($55::smallint[]) AS priority, unnest($56::bigint[]) AS delay_us,
            unnest($57::timestamptz[]) AS due_at, unnest($58::bool[]) AS keep, unnest($59::uuid[]) AS parent_id,
            unnest($60::text[]) AS parent_call, unnest($61::text[]) AS owner, unnest($62::text[]) AS trace_parent,
            unnest($63::text[]) AS tags, unnest($64::timestamptz[]) AS deadline_at,
            unnest($65::text[]) AS block_reason, unnest($66::text[]) AS blocked_build, unnest($67::text[]) AS failure,
            unnest($68::bigint[]) AS timeout_us
    ) AS birth
    WHERE birth.id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
)
