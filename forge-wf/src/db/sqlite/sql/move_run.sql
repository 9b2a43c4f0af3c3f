-- move_run: binds run ?1 in generation ?6 to definition ?4, version ?5, at ?7, if it has not turned back and worker ?2 owns it under
-- claim ?3; or, without a worker, if nobody owns it and its journal weighs ?3. If it was started for a version, that is ?5 from now on:
-- unbound it needs ?9, if it did not need ?8, which is any version. Without a worker, a run that waits, or was blocked by its code, is ready then.
UPDATE forge_wf_runs SET
    definition = ?4, needs = ?4, version = ?5,
    asked_version = CASE WHEN asked_version IS NULL THEN NULL ELSE ?5 END,
    start_needs = CASE WHEN start_needs = ?8 THEN ?8 ELSE ?9 END,
    state = CASE WHEN wakes.it THEN 0 ELSE state END,
    ready_at = CASE WHEN wakes.it THEN ?7 ELSE ready_at END,
    block_reason = CASE WHEN wakes.it THEN NULL ELSE block_reason END,
    blocked_build = CASE WHEN wakes.it THEN NULL ELSE blocked_build END,
    failure = CASE WHEN wakes.it THEN NULL ELSE failure END
FROM (
    SELECT ?2 IS NULL AND (
        seen.state = 2 OR seen.state = 4 AND seen.block_reason IN ('panic', 'foreign_await', 'divergence', 'refused', 'journal_limit', 'unreadable')
    ) AS it FROM forge_wf_runs AS seen WHERE seen.id = ?1
) AS wakes
WHERE id = ?1 AND worker_id IS ?2 AND phase = 0 AND generation = ?6 AND CASE
    WHEN ?2 IS NOT NULL THEN claim_no = ?3
    ELSE ?3 = (
        SELECT count(*) + coalesce(sum(entry.state), 0) FROM forge_wf_journal AS entry
        WHERE entry.run_id = ?1 AND entry.generation = ?6
    )
END
