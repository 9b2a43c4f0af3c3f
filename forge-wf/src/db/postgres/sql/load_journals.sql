-- load_journals: generations $2 of runs $1, in the order asked for, each by seq, entries without one last.
SELECT asked.place, entry.key, entry.n, entry.seq, entry.scope, entry.kind, entry.state, entry.args_hash, entry.args,
    entry.output, entry.failure, entry.attempts, entry.due_at, entry.undo_step, entry.undo_digest, entry.undo_args,
    entry.undo_state, entry.at
FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS asked (run_id, generation, place)
JOIN forge_wf.journal AS entry ON entry.run_id = asked.run_id AND entry.generation = asked.generation
ORDER BY asked.place, entry.seq NULLS LAST, entry.key, entry.n
