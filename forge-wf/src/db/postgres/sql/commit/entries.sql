-- entries: one row for each new entry. Without a clause for conflicts, which would cost a record in the server's log for
-- each row: a call that has a row already refuses the batch.
, entries AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
        output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
    )
    SELECT entry.* FROM fence, (
        SELECT
            unnest($9::uuid[]) AS run_id, unnest($10::int[]) AS generation, unnest($11::text[]) AS key,
            unnest($12::int[]) AS n, unnest($13::int[]) AS seq, unnest($14::int[]) AS scope,
            unnest($15::smallint[]) AS kind, unnest($16::smallint[]) AS state, unnest($17::bigint[]) AS args_hash,
            unnest($18::text[]) AS args, unnest($19::text[]) AS output, unnest($20::text[]) AS failure,
            unnest($21::int[]) AS attempts, unnest($22::timestamptz[]) AS due_at, unnest($23::text[]) AS undo_step,
            unnest($24::uuid[]) AS undo_digest, unnest($25::text[]) AS undo_args,
            unnest($26::smallint[]) AS undo_state, unnest($27::timestamptz[]) AS at
    ) AS entry
    WHERE entry.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
)
