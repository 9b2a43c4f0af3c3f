-- updates: sets rows to their images where $1 owns them under that claim. IS NOT DISTINCT FROM keeps the planner off the
-- index of workers: images are walked, runs found by id. `= ANY (ARRAY[..])` beside the settings of our connections leaves it nothing
-- but that, whatever the table was when the plan was made. A run whose row was not updated is not ours.
, updated AS (
    UPDATE forge_wf.runs AS run SET
        phase = image.phase,
        state = image.state,
        worker_id = CASE WHEN image.keep THEN $1 END,
        ready_at = CASE WHEN image.due_now THEN now() ELSE image.due_at END,
        generation = image.generation,
        seed = coalesce(image.seed, run.seed),
        needs = CASE WHEN image.unbind THEN run.start_needs ELSE image.needs END,
        definition = CASE WHEN image.unbind THEN NULL ELSE run.definition END,
        version = CASE WHEN image.unbind THEN run.asked_version ELSE run.version END,
        block_reason = image.block_reason,
        blocked_build = image.blocked_build,
        failure = image.failure,
        ended_at = CASE WHEN image.phase = 2 THEN now() END
    FROM fence, (
        SELECT
            unnest($28::uuid[]) AS id, unnest($29::bigint[]) AS claim_no, unnest($30::smallint[]) AS phase,
            unnest($31::smallint[]) AS state, unnest($32::bool[]) AS keep, unnest($33::bool[]) AS due_now,
            unnest($34::timestamptz[]) AS due_at, unnest($35::int[]) AS generation, unnest($36::uuid[]) AS needs,
            unnest($37::bool[]) AS unbind, unnest($38::text[]) AS block_reason, unnest($39::text[]) AS blocked_build,
            unnest($40::text[]) AS failure, unnest($41::bigint[]) AS seed
    ) AS image
    WHERE run.id = ANY (ARRAY[image.id]) AND run.claim_no = image.claim_no AND run.worker_id IS NOT DISTINCT FROM $1
    RETURNING run.id
), not_ours (id, by) AS MATERIALIZED (
    SELECT refused.id, refused.by FROM refused
    UNION ALL
    -- With its children: their look above does not wait for a lock on the row, and the update does.
    SELECT asked.id, asked.by FROM fence, (
        SELECT unnest($28::uuid[]) AS id, unnest($28::uuid[]) AS by
        UNION ALL
        SELECT unnest($6::uuid[]) AS id, unnest($7::uuid[]) AS by
    ) AS asked
    WHERE (SELECT count(*) FROM updated) <> cardinality($28)
      AND asked.by = ANY ($28) AND asked.by <> ALL (ARRAY(SELECT updated.id FROM updated))
)
