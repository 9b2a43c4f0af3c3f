-- load_journal: generation ?2 of run ?1, by seq, entries without one last.
SELECT key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at,
    undo_step, undo_digest, undo_args, undo_state, at
FROM forge_wf_journal
WHERE run_id = ?1 AND generation = ?2
ORDER BY seq IS NULL, seq, key, n
