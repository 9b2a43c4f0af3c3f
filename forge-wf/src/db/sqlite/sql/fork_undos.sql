-- fork_undos: marks as skipped (4) what run ?1 had to undo and its fork, run ?2, has to from now on: what is open in the copies up
-- to seq ?3.
UPDATE forge_wf_journal SET undo_state = 4
WHERE run_id = ?1 AND generation = (SELECT generation FROM forge_wf_runs WHERE id = ?1) AND seq <= ?3 AND undo_step IS NOT NULL
  AND EXISTS (
      SELECT 1 FROM forge_wf_journal AS copy
      WHERE copy.run_id = ?2 AND copy.generation = 0 AND copy.key = forge_wf_journal.key AND copy.n = forge_wf_journal.n
        AND copy.undo_step IS NOT NULL AND coalesce(copy.undo_state, 0) <> 4
  )
