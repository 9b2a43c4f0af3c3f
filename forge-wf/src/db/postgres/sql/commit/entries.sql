-- entries: one row for each new entry. Without a clause for conflicts, which would cost a record in the server's log for
-- each row: a call that has a row already refuses the batch.
, entries AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
        output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
    )
    SELECT entry.* FROM fence, (
        SELECT
            unnest($7::uuid[]) AS run_id, unnest($8::int[]) AS generation, unnest($9::text[]) AS key,
            unnest($10::int[]) AS n, unnest($11::int[]) AS seq, unnest($12::int[]) AS scope,
            unnest($13::smallint[]) AS kind, unnest($14::smallint[]) AS state, unnest($15::bigint[]) AS args_hash,
            unnest($16::text[]) AS args, unnest($17::text[]) AS output, unnest($18::text[]) AS failure,
            unnest($19::int[]) AS attempts, unnest($20::timestamptz[]) AS due_at, unnest($21::text[]) AS undo_step,
            unnest($22::uuid[]) AS undo_digest, unnest($23::text[]) AS undo_args,
            unnest($24::smallint[]) AS undo_state, unnest($25::timestamptz[]) AS at
    ) AS entry
    WHERE entry.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
)
