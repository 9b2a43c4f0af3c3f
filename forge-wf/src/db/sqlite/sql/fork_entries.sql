-- fork_entries: copies the journal of the present generation of run ?1 up to seq ?3 to run ?2, without what it has to undo.
INSERT INTO forge_wf_journal (
    run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
    undo_args, undo_state, at
)
SELECT ?2, 0, entry.key, entry.n, entry.seq, entry.scope, entry.kind, entry.state, entry.args_hash, entry.args, entry.output,
    entry.failure, entry.attempts, entry.due_at, NULL, NULL, NULL, NULL, entry.at
FROM forge_wf_runs AS original CROSS JOIN forge_wf_journal AS entry
WHERE original.id = ?1 AND entry.run_id = original.id AND entry.generation = original.generation
  AND entry.seq <= ?3 AND entry.seq < (
      SELECT coalesce(min(turned.seq), 2147483647) FROM forge_wf_journal AS turned
      WHERE turned.run_id = original.id AND turned.generation = original.generation AND turned.kind IN (7, 9)
  )
