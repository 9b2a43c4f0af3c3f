-- insert_entries: one row for each entry; a call that has a row already refuses the batch.
INSERT INTO forge_wf_journal (
    run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
    output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
) VALUES {rows}
