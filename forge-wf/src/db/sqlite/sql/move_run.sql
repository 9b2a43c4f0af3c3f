-- move_run: binds run ?1 in generation ?6 to definition ?4, version ?5, at ?7, if it has not turned back and worker ?2 owns it under
-- claim ?3; or, without a worker, if nobody owns it and its journal weighs ?3. One that was blocked is ready then.
UPDATE forge_wf_runs SET
    definition = ?4, needs = ?4, version = ?5,
    ready_at = CASE WHEN state = 4 THEN ?7 ELSE ready_at END,
    block_reason = CASE WHEN state = 4 THEN NULL ELSE block_reason END,
    blocked_build = CASE WHEN state = 4 THEN NULL ELSE blocked_build END,
    failure = CASE WHEN state = 4 THEN NULL ELSE failure END,
    state = CASE WHEN state = 4 THEN 0 ELSE state END
WHERE id = ?1 AND worker_id IS ?2 AND phase = 0 AND generation = ?6 AND CASE
    WHEN ?2 IS NOT NULL THEN claim_no = ?3
    ELSE ?3 = (
        SELECT count(*) + coalesce(sum(entry.state), 0) FROM forge_wf_journal AS entry
        WHERE entry.run_id = ?1 AND entry.generation = ?6
    )
END
