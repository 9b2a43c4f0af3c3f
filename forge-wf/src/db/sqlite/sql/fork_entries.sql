-- fork_entries: copies the journal of the present generation of run ?1 up to seq ?3 to run ?2, without what it has to undo; or, if
-- ?4, with that. How to undo is kept where a saga did so up to there, since its body asks for that again, as skipped (4): no fork
-- undoes it. What gave up in the original (3) is tried again, but for what nobody knows how to undo.
INSERT INTO forge_wf_journal (
    run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
    undo_args, undo_state, at
)
SELECT ?2, 0, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at,
    iif(undone OR taken, undo_step, NULL), iif(undone OR taken, undo_digest, NULL), iif(undone OR taken, undo_args, NULL),
    CASE
        WHEN undone THEN 4
        WHEN taken AND undo_state = 3 AND undo_args = 'null' THEN 3
        WHEN taken AND undo_state IS NOT NULL THEN 0
    END, at
FROM (
    SELECT entry.*,
        entry.undo_step IS NOT NULL AND EXISTS (
            SELECT 1 FROM forge_wf_journal AS later
            WHERE later.run_id = entry.run_id AND later.generation = entry.generation AND later.n = entry.n AND later.seq <= ?3
              AND later.key IN (
                  'undo:' || iif(entry.kind = 6, substr(entry.key, 9), entry.key),
                  iif(entry.kind = 6, NULL, 'resolve:' || entry.key)
              )
        ) AS undone,
        ?4 AND entry.undo_step IS NOT NULL AND coalesce(entry.undo_state, 0) NOT IN (2, 4) AS taken
    FROM forge_wf_runs AS original CROSS JOIN forge_wf_journal AS entry
    WHERE original.id = ?1 AND entry.run_id = original.id AND entry.generation = original.generation
      AND entry.seq <= ?3 AND entry.seq < (
          SELECT coalesce(min(turned.seq), 2147483647) FROM forge_wf_journal AS turned
          WHERE turned.run_id = original.id AND turned.generation = original.generation AND turned.kind IN (7, 9)
      )
)
