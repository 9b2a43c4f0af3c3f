-- make_ready: makes them ready. One row for each.
UPDATE forge_wf.runs AS run
SET state = 0, ready_at = now(), block_reason = NULL, blocked_build = NULL, failure = NULL
FROM blocked WHERE run.id = blocked.id
RETURNING run.id
