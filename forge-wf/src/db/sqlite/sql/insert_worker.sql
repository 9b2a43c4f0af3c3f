-- insert_worker: the worker with its lease; repeated, only its lease changes.
INSERT INTO forge_wf_workers (id, name, build, lease_micros, lease_until, started_at) VALUES (?1, ?2, ?3, ?4, ?5 + ?4, ?5)
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
