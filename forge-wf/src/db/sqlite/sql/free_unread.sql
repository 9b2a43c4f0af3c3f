-- free_unread: makes ready, at ?1, run ?3 of worker ?2, which is gone, without a look at its journal, which cannot be read: it stays
-- bound, and takeovers count as if it had come further.
UPDATE forge_wf_runs SET
    worker_id = NULL,
    state = iif(state IN (0, 1, 2), 0, state),
    ready_at = iif(state IN (0, 1, 2), ?1, ready_at),
    takeovers = 0
WHERE id = ?3 AND worker_id = ?2
