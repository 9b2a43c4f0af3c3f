-- save_states: publishes values, in place of what was published under the same name.
INSERT INTO forge_wf_run_state (run_id, key, value, updated_at) VALUES {rows}
ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
