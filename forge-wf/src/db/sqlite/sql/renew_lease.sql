-- renew_lease: extends the lease of worker ?1 at ?2, as its renewal number ?3.
UPDATE forge_wf_workers SET lease_until = ?2 + lease_micros, renewals = ?3 WHERE id = ?1
