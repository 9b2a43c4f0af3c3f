-- leases_ahead: workers but $1 whose lease lies further ahead than its own length, by the database's clock, which was ahead when they
-- renewed it; with the end of the lease, and its length in microseconds. Looks at all workers, which are few.
SELECT id, lease_until, (extract(epoch FROM lease) * 1000000)::bigint
FROM forge_wf.workers WHERE id <> $1 AND lease_until > now() + lease
