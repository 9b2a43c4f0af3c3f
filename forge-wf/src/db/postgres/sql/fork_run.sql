-- fork_run: makes run $2, with the input, the seed and the journal of the present generation of run $1 up to seq $3; with the line
-- that $4 did $5 because of $6. A row comes back if there is such an original, and says whether it may be copied; a run $2 that
-- is there already stays as it is.
--
-- What the original has to undo is not copied, unless it has ended and $7: then the copy has to, and the original skips it (4).
-- How to undo is kept where a saga did so up to there, since its body asks for that again, as skipped: no fork undoes it. What
-- gave up in the original (3) is tried again, but for what nobody knows how to undo.
WITH original AS MATERIALIZED (
    SELECT * FROM forge_wf.runs WHERE id = $1 FOR UPDATE
), fork AS (
    INSERT INTO forge_wf.runs (
        id, seed, created_at, ready_at, phase, state, priority, needs, definition, version, start_needs, workflow,
        asked_version, queue, owner, trace_parent, tags
    )
    SELECT $2, seed, now(), now(), 0, 0, priority, coalesce(definition, start_needs), definition, version, start_needs, workflow,
        asked_version, queue, owner, trace_parent, tags
    FROM original WHERE NOT $7 OR phase = 2
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), entry AS MATERIALIZED (
    SELECT entry.*,
        entry.undo_step IS NOT NULL AND EXISTS (
            SELECT FROM forge_wf.journal AS later
            WHERE later.run_id = entry.run_id AND later.generation = entry.generation AND later.n = entry.n AND later.seq <= $3
              AND later.key IN (
                  'undo:' || CASE WHEN entry.kind = 6 THEN substr(entry.key, 9) ELSE entry.key END,
                  CASE WHEN entry.kind <> 6 THEN 'resolve:' || entry.key END
              )
        ) AS undone,
        $7 AND entry.undo_step IS NOT NULL AND coalesce(entry.undo_state, 0) NOT IN (2, 4) AS taken
    FROM original JOIN forge_wf.journal AS entry ON entry.run_id = original.id AND entry.generation = original.generation
    WHERE entry.seq <= $3 AND entry.seq < (
        SELECT coalesce(min(turned.seq), 2147483647) FROM forge_wf.journal AS turned
        WHERE turned.run_id = original.id AND turned.generation = original.generation AND turned.kind IN (7, 9)
    )
), kept AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
        undo_args, undo_state, at
    )
    SELECT fork.id, 0, entry.key, entry.n, entry.seq, entry.scope, entry.kind, entry.state, entry.args_hash, entry.args,
        entry.output, entry.failure, entry.attempts, entry.due_at, CASE WHEN undone OR taken THEN entry.undo_step END,
        CASE WHEN undone OR taken THEN entry.undo_digest END, CASE WHEN undone OR taken THEN entry.undo_args END,
        CASE
            WHEN undone THEN 4::smallint
            WHEN taken AND entry.undo_state = 3 AND entry.undo_args = 'null' THEN 3::smallint
            WHEN taken AND entry.undo_state IS NOT NULL THEN 0::smallint
        END, entry.at
    FROM fork, entry
), given_up AS (
    UPDATE forge_wf.journal AS theirs SET undo_state = 4 FROM fork, entry
    WHERE entry.taken AND NOT entry.undone AND theirs.run_id = entry.run_id AND theirs.generation = entry.generation
      AND theirs.key = entry.key AND theirs.n = entry.n
), told AS (
    INSERT INTO forge_wf.audit (at, run_id, who, action, details)
    SELECT now(), it.run_id, $4, $5, $6 FROM fork CROSS JOIN LATERAL (
        SELECT fork.id UNION ALL SELECT $1 WHERE $7
    ) AS it (run_id)
)
SELECT NOT $7 OR phase = 2 FROM original
