-- renew_lease: extends the lease of worker $1 as its renewal number $2, which follows the number in its row or is that number, if it is
-- sent again. Answers with the database's time and whether the lease of another worker has expired. No row: the worker is gone, or its
-- row holds another number, which is an earlier one if the database lost a renewal.
UPDATE forge_wf.workers AS worker SET lease_until = now() + worker.lease, renewals = $2
WHERE worker.id = $1 AND worker.renewals BETWEEN $2 - 1 AND $2
RETURNING now(), EXISTS (
    SELECT FROM forge_wf.workers AS other WHERE other.id <> $1 AND other.lease_until <= now()
)
