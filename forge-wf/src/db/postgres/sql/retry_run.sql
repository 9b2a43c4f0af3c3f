-- retry_run: lets run $1 begin anew as the generation after $2, if it is in that one and has ended as failed, compensated or
-- cancelled; with the line that $5 did $6 because of $7. Answers with its phase and state before; no row: there is no such run.
--
-- If $3, its entries are kept up to the first whose undo was started, but neither the last failure before that nor what came
-- after it, and with them seed and definition; otherwise only its input, and the seed is $4. A deadline counts no more,
-- nor does a command that was given before.
WITH it AS MATERIALIZED (
    SELECT id, phase, state, generation FROM forge_wf.runs WHERE id = $1 FOR UPDATE
), entries AS MATERIALIZED (
    SELECT entry.* FROM it JOIN forge_wf.journal AS entry ON entry.run_id = it.id AND entry.generation = it.generation
    WHERE it.phase = 2 AND it.state IN (11, 12, 13) AND it.generation = $2 AND entry.seq IS NOT NULL
), undone (seq) AS (
    SELECT min(seq) FROM entries WHERE undo_state >= 1 OR kind IN (5, 6, 7, 9)
), bound (seq) AS (
    SELECT coalesce((SELECT max(entries.seq) FROM entries, undone WHERE entries.seq < undone.seq AND entries.state = 2), undone.seq)
    FROM undone
), kept AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
        undo_args, undo_state, at
    )
    SELECT $1, $2 + 1, entries.key, entries.n, entries.seq, entries.scope, entries.kind, entries.state, entries.args_hash,
        entries.args, entries.output, entries.failure, entries.attempts, entries.due_at, entries.undo_step,
        entries.undo_digest, entries.undo_args, entries.undo_state, entries.at
    FROM entries, bound WHERE entries.seq = 0 OR ($3 AND entries.seq < bound.seq)
    RETURNING 1
), anew AS (
    UPDATE forge_wf.runs AS run SET
        phase = 0, state = 0, ready_at = now(), ended_at = NULL, deadline_at = NULL, generation = $2 + 1,
        retries = coalesce(run.retries, 0) + 1, takeovers = 0, takeover_entries = 0, block_reason = NULL, blocked_build = NULL, failure = NULL,
        seed = CASE WHEN $3 THEN run.seed ELSE $4 END,
        needs = CASE WHEN $3 THEN coalesce(run.definition, run.start_needs) ELSE run.start_needs END,
        definition = CASE WHEN $3 THEN run.definition END,
        version = CASE WHEN $3 THEN run.version ELSE run.asked_version END
    WHERE run.id = $1 AND EXISTS (SELECT FROM entries)
    RETURNING run.id
), told AS (
    INSERT INTO forge_wf.audit (at, run_id, who, action, details) SELECT now(), anew.id, $5, $6, $7 FROM anew
)
SELECT it.phase, it.state FROM it
