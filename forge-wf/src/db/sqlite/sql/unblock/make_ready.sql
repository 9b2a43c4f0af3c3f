-- make_ready: makes them ready, at ?4.
UPDATE forge_wf_runs SET
    state = 0, ready_at = ?4, block_reason = NULL, blocked_build = NULL, failure = NULL
WHERE id IN (SELECT id FROM blocked)
