-- load_journals: generations $2 of runs $1, in the order asked for, each by seq, entries without one last; journals from the first on, as
-- many as have at most $3 bytes of payload together. Payloads of what does not fit are not read: their length is known without. A
-- journal without entries is one row without a key, so it is told from one that does not fit.
SELECT entry.place, entry.key, entry.n, entry.seq, entry.scope, entry.kind, entry.state, entry.args_hash, entry.args,
    entry.output, entry.failure, entry.attempts, entry.due_at, entry.undo_step, entry.undo_digest, entry.undo_args,
    entry.undo_state, entry.at
FROM (
    SELECT asked.place, it.key, it.n, it.seq, it.scope, it.kind, it.state, it.args_hash, it.args, it.output, it.failure, it.attempts,
        it.due_at, it.undo_step, it.undo_digest, it.undo_args, it.undo_state, it.at,
        -- All of this journal and of those before it.
        sum(
            coalesce(octet_length(it.output), 0) + coalesce(octet_length(it.args), 0) + coalesce(octet_length(it.failure), 0)
            + coalesce(octet_length(it.undo_args), 0)
        ) OVER (ORDER BY asked.place) AS bytes
    FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS asked (run_id, generation, place)
    LEFT JOIN forge_wf.journal AS it ON it.run_id = asked.run_id AND it.generation = asked.generation
) AS entry
WHERE entry.bytes <= $3
ORDER BY entry.place, entry.seq NULLS LAST, entry.key, entry.n
