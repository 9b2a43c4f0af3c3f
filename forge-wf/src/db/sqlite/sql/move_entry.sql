-- move_entry: the entry ?3 number ?4 of kind ?5, state ?6 and arguments ?7 in generation ?2 of run ?1, recorded at ?8; one that is
-- there already stays as it is.
INSERT INTO forge_wf_journal (run_id, generation, key, n, kind, state, args, at, args_hash, scope, attempts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0)
ON CONFLICT DO NOTHING
