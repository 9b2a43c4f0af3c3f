-- start_run: inserts one run with its `start` entry, due $15 microseconds from now; writes nothing if its id exists or its
-- key is held. Answers with the id if it did. It must have ended at $21, or $23 microseconds after it is due if that is earlier:
-- every duration counts by this server's clock.
--
-- Another transaction that is about to take the same key is waited for, but not for ever: the timeout is set inside the
-- statement, before the insert that may wait, and ends with it. So no connection is set apart for starts, and there is
-- no transaction that would stay open while the server waits for this client.
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', $24, true)
), born AS (
    INSERT INTO forge_wf.runs (
        id, seed, workflow, version, asked_version, definition, start_needs, key, holds_key,
        phase, state, needs, queue, priority, ready_at, parent_id, parent_call, owner,
        trace_parent, tags, deadline_at, created_at
    )
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8 IS NOT NULL,
        $9, $10, $11, $12, $13, now() + $15 * interval '1 microsecond', $16, $17, $18,
        $19, $20, least($21, now() + ($15 + $23) * interval '1 microsecond'), now()
    FROM patience
    ON CONFLICT DO NOTHING
    RETURNING id
), entry AS (
    INSERT INTO forge_wf.journal (run_id, generation, key, n, seq, scope, kind, state, args_hash, output, attempts, at)
    SELECT born.id, 0, 'start', 0, 0, 0, $14, 1, 0, $22, 0, now() FROM born
)
SELECT id FROM born
