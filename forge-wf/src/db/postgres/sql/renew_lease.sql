-- renew_lease: extends the lease of worker $1; answers with the database's time and whether the lease of another worker has
-- expired. No row: the worker is gone.
UPDATE forge_wf.workers AS worker SET lease_until = now() + worker.lease WHERE worker.id = $1
RETURNING now(), EXISTS (
    SELECT FROM forge_wf.workers AS other WHERE other.id <> $1 AND other.lease_until <= now()
)
