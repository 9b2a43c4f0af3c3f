-- remind: sends them mail of kind $1. One row for each.
INSERT INTO forge_wf.inbox (id, run_id, kind, name, sent_at, retries)
SELECT gen_random_uuid(), late.id, $1, 'deadline', now(), late.retries FROM late
RETURNING run_id
