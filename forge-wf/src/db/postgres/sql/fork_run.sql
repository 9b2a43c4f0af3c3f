-- fork_run: makes run $2, with the input, the seed and the journal of the present generation of run $1 up to seq $3, without
-- what the original has to undo; how to undo is kept where a saga did so up to there, since its body asks for that again, as
-- skipped, since no fork undoes it; with the line that $4 did $5 because of $6. A row comes back if there is such an original; a
-- run $2 that is there already stays as it is.
WITH original AS MATERIALIZED (
    SELECT * FROM forge_wf.runs WHERE id = $1
), fork AS (
    INSERT INTO forge_wf.runs (
        id, seed, created_at, ready_at, phase, state, priority, needs, definition, version, start_needs, workflow,
        asked_version, queue, owner, trace_parent, tags
    )
    SELECT $2, seed, now(), now(), 0, 0, priority, coalesce(definition, start_needs), definition, version, start_needs, workflow,
        asked_version, queue, owner, trace_parent, tags
    FROM original
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), kept AS (
    INSERT INTO forge_wf.journal (
        run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
        undo_args, undo_state, at
    )
    SELECT fork.id, 0, entry.key, entry.n, entry.seq, entry.scope, entry.kind, entry.state, entry.args_hash, entry.args,
        entry.output, entry.failure, entry.attempts, entry.due_at, CASE WHEN undone.it THEN entry.undo_step END,
        CASE WHEN undone.it THEN entry.undo_digest END, CASE WHEN undone.it THEN entry.undo_args END,
        CASE WHEN undone.it THEN 4::smallint END, entry.at
    FROM fork, original JOIN forge_wf.journal AS entry ON entry.run_id = original.id AND entry.generation = original.generation
    CROSS JOIN LATERAL (
        SELECT entry.undo_step IS NOT NULL AND EXISTS (
            SELECT FROM forge_wf.journal AS later
            WHERE later.run_id = entry.run_id AND later.generation = entry.generation AND later.n = entry.n AND later.seq <= $3
              AND later.key IN (
                  'undo:' || CASE WHEN entry.kind = 6 THEN substr(entry.key, 9) ELSE entry.key END,
                  CASE WHEN entry.kind <> 6 THEN 'resolve:' || entry.key END
              )
        ) AS it
    ) AS undone
    WHERE entry.seq <= $3 AND entry.seq < (
        SELECT coalesce(min(turned.seq), 2147483647) FROM forge_wf.journal AS turned
        WHERE turned.run_id = original.id AND turned.generation = original.generation AND turned.kind IN (7, 9)
    )
), told AS (
    INSERT INTO forge_wf.audit (at, run_id, who, action, details) SELECT now(), fork.id, $4, $5, $6 FROM fork
)
SELECT 1 FROM original
