-- end_lease: lets the lease of worker $1 expire now, if it still ends at $2.
UPDATE forge_wf.workers SET lease_until = now() WHERE id = $1 AND lease_until = $2 RETURNING id
