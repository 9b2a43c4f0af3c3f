-- entries: one row for each new entry. Without a clause for conflicts, which would cost a record in the server's log for
-- each row: a call that has a row already refuses the batch.
, entries AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
        output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
    )
    SELECT entry.* FROM fence, (
        SELECT
            unnest($4::uuid[]) AS run_id, unnest($5::int[]) AS generation, unnest($6::text[]) AS key,
            unnest($7::int[]) AS n, unnest($8::int[]) AS seq, unnest($9::int[]) AS scope,
            unnest($10::smallint[]) AS kind, unnest($11::smallint[]) AS state, unnest($12::bigint[]) AS args_hash,
            unnest($13::text[]) AS args, unnest($14::text[]) AS output, unnest($15::text[]) AS failure,
            unnest($16::int[]) AS attempts, unnest($17::timestamptz[]) AS due_at, unnest($18::text[]) AS undo_step,
            unnest($19::uuid[]) AS undo_digest, unnest($20::text[]) AS undo_args,
            unnest($21::smallint[]) AS undo_state, unnest($22::timestamptz[]) AS at
    ) AS entry
)
