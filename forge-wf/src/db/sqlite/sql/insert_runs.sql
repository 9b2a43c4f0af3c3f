-- insert_runs: one row for each run. Without a clause for conflicts: inside a batch a key that is held, or an id that
-- exists, refuses the batch.
INSERT INTO forge_wf_runs (
    id, generation, seed, workflow, version, asked_version, definition, start_needs, key, holds_key,
    phase, state, needs, queue, priority, ready_at, worker_id, parent_id, parent_call, owner,
    trace_parent, tags, deadline_at, block_reason, blocked_build, failure, created_at, ended_at
) VALUES {rows}
