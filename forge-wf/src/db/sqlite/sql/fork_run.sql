-- fork_run: makes run ?2 at ?3 with the input and the seed of run ?1; one that is there already stays as it is.
INSERT INTO forge_wf_runs (
    id, seed, created_at, ready_at, phase, state, priority, needs, definition, version, start_needs, workflow,
    asked_version, queue, owner, trace_parent, tags
)
SELECT ?2, seed, ?3, ?3, 0, 0, priority, coalesce(definition, start_needs), definition, version, start_needs, workflow,
    asked_version, queue, owner, trace_parent, tags
FROM forge_wf_runs WHERE id = ?1
ON CONFLICT (id) DO NOTHING
