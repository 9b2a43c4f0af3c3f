-- entries: one row for each new entry. Without a clause for conflicts, which would cost a record in the server's log for
-- each row: a call that has a row already refuses the batch.
, entries AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
        output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
    )
    SELECT entry.* FROM fence, unnest(
        $4::uuid[], $5::int[], $6::text[], $7::int[], $8::int[], $9::int[], $10::smallint[], $11::smallint[],
        $12::bigint[], $13::text[], $14::text[], $15::text[], $16::int[], $17::timestamptz[], $18::text[], $19::uuid[],
        $20::text[], $21::smallint[], $22::timestamptz[]
    ) AS entry
)
