-- renew_lease: extends the lease of worker $1 and answers with the database's time; no row: the worker is gone.
UPDATE forge_wf.workers SET lease_until = now() + lease WHERE id = $1 RETURNING now()
