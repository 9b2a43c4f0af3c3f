-- free_unread: makes ready run $2 of worker $1, which is gone, without a look at its journal, which cannot be read: it stays bound, and
-- takeovers count as if it had come further.
UPDATE forge_wf.runs SET
    worker_id = NULL,
    state = CASE WHEN state IN (0, 1, 2) THEN 0 ELSE state END,
    ready_at = CASE WHEN state IN (0, 1, 2) THEN now() ELSE ready_at END,
    takeovers = 0
WHERE id = $2 AND worker_id = $1
RETURNING id
