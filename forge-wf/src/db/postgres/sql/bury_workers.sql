-- bury_workers: deletes every worker but $1 whose lease expired; its lanes go with it, so all its later writes fail.
-- SKIP LOCKED: one that is locked renews its lease just now, or is being buried by somebody else.
DELETE FROM forge_wf.workers WHERE id IN (
    SELECT id FROM forge_wf.workers WHERE lease_until <= now() AND id <> $1 FOR UPDATE SKIP LOCKED
)
RETURNING id
