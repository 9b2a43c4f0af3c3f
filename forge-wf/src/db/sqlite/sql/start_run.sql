-- start_run: as insert_runs, for one run; writes nothing if its id exists or its key is held.
INSERT INTO forge_wf_runs (
    id, generation, seed, workflow, version, asked_version, definition, start_needs, key, holds_key,
    phase, state, needs, queue, priority, ready_at, worker_id, parent_id, parent_call, owner,
    trace_parent, tags, deadline_at, block_reason, blocked_build, failure, created_at, ended_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
