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
            unnest($40::uuid[]) AS id, unnest($41::int[]) AS generation, unnest($42::bigint[]) AS seed,
            unnest($43::text[]) AS workflow, unnest($44::text[]) AS version, unnest($45::text[]) AS asked_version,
            unnest($46::uuid[]) AS definition, unnest($47::uuid[]) AS start_needs, unnest($48::text[]) AS key,
            unnest($49::smallint[]) AS phase, unnest($50::smallint[]) AS state, unnest($51::uuid[]) AS needs,
            unnest($52::text[]) AS queue, unnest($53::smallint[]) AS priority, unnest($54::bigint[]) AS delay_us,
            unnest($55::timestamptz[]) AS due_at, unnest($56::bool[]) AS keep, unnest($57::uuid[]) AS parent_id,
            unnest($58::text[]) AS parent_call, unnest($59::text[]) AS owner, unnest($60::text[]) AS trace_parent,
            unnest($61::text[]) AS tags, unnest($62::timestamptz[]) AS deadline_at,
            unnest($63::text[]) AS block_reason, unnest($64::text[]) AS blocked_build, unnest($65::text[]) AS failure,
            unnest($66::bigint[]) AS timeout_us
    ) AS birth
    WHERE birth.id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
)
