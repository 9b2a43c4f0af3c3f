-- move_run: binds run $1 in generation $6 to definition $4, version $5, if it has not turned back and worker $2 owns it under claim $3;
-- or, without a worker, if nobody owns it and its journal weighs $3. If it was started for a version, that is $5 from now on: unbound
-- it needs $17, if it did not need $16, which is any version. Without a worker, a run that waits, or was blocked by its code, is ready then. With it comes the entry $7
-- number $8 of kind $9, state $10 and arguments $11, recorded at $12 or, without a worker, now; and, if there is a $13, the line that $13 did
-- $14 because of $15. A row comes back if the run is of that definition now.
--
-- What this statement sees of the journal is as old as its snapshot. So the row, once it is locked, must be the very one that the
-- snapshot shows (xmin): nobody has had the run in between, and only an owner writes a journal.
WITH seen AS MATERIALIZED (
    SELECT run.id, run.xmin AS written_by FROM forge_wf.runs AS run WHERE run.id = $1
), it AS MATERIALIZED (
    SELECT run.id, run.xmin AS written_by, $2 IS NULL AND (
        run.state = 2 OR run.state = 4 AND run.block_reason IN ('panic', 'foreign_await', 'divergence', 'refused', 'journal_limit', 'unreadable')
    ) AS wakes
    FROM forge_wf.runs AS run
    WHERE run.id = $1 AND run.worker_id IS NOT DISTINCT FROM $2::uuid AND run.phase = 0 AND run.generation = $6
    FOR UPDATE
), moved AS (
    UPDATE forge_wf.runs AS run SET
        definition = $4, needs = $4, version = $5,
        asked_version = CASE WHEN run.asked_version IS NULL THEN NULL ELSE $5 END,
        start_needs = CASE WHEN run.start_needs = $16 THEN $16 ELSE $17 END,
        state = CASE WHEN it.wakes THEN 0 ELSE run.state END,
        ready_at = CASE WHEN it.wakes THEN now() ELSE run.ready_at END,
        block_reason = CASE WHEN it.wakes THEN NULL ELSE run.block_reason END,
        blocked_build = CASE WHEN it.wakes THEN NULL ELSE run.blocked_build END,
        failure = CASE WHEN it.wakes THEN NULL ELSE run.failure END
    FROM it JOIN seen ON seen.id = it.id
    WHERE run.id = it.id AND CASE
        WHEN $2 IS NOT NULL THEN run.claim_no = $3
        ELSE it.written_by = seen.written_by AND $3 = (
            SELECT count(*) + coalesce(sum(entry.state), 0) FROM forge_wf.journal AS entry
            WHERE entry.run_id = $1 AND entry.generation = $6
        )
    END
    RETURNING run.id
), said AS (
    INSERT INTO forge_wf.journal (run_id, generation, key, n, kind, state, args, at, args_hash, scope, attempts)
    SELECT id, $6, $7, $8, $9, $10, $11, CASE WHEN $2 IS NULL THEN now() ELSE $12 END, 0, 0, 0 FROM moved
    ON CONFLICT DO NOTHING
), told AS (
    INSERT INTO forge_wf.audit (at, run_id, who, action, details)
    SELECT now(), id, $13, $14, $15 FROM moved WHERE $13 IS NOT NULL
)
SELECT id FROM moved
UNION
SELECT id FROM forge_wf.runs WHERE id = $1 AND generation = $6 AND definition = $4 AND $2 IS NULL
