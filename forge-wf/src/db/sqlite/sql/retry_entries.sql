-- retry_entries: copies into generation ?2 + 1 of run ?1 what a retry keeps of generation ?2: its start; if ?3, its entries up to
-- the first whose undo was started, but neither the last failure before that nor what came after it.
WITH entries AS MATERIALIZED (
    SELECT * FROM forge_wf_journal WHERE run_id = ?1 AND generation = ?2 AND seq IS NOT NULL
), undone (seq) AS (
    SELECT min(seq) FROM entries WHERE undo_state >= 1 OR kind IN (5, 6, 7, 9)
), bound (seq) AS (
    SELECT coalesce((SELECT max(entries.seq) FROM entries, undone WHERE entries.seq < undone.seq AND entries.state = 2), undone.seq)
    FROM undone
)
INSERT INTO forge_wf_journal (
    run_id, generation, key, n, seq, scope, kind, state, args_hash, args, output, failure, attempts, due_at, undo_step, undo_digest,
    undo_args, undo_state, at
)
SELECT ?1, ?2 + 1, entries.key, entries.n, entries.seq, entries.scope, entries.kind, entries.state, entries.args_hash, entries.args,
    entries.output, entries.failure, entries.attempts, entries.due_at, entries.undo_step, entries.undo_digest,
    entries.undo_args, entries.undo_state, entries.at
FROM entries, bound WHERE entries.seq = 0 OR (?3 AND entries.seq < bound.seq)
