-- register_worker: the worker $1 (name $2, build $3, lease of $4 microseconds) with lanes 0 to $5, definitions $6 to $9
-- and $13, of which the signatures are kept, and offers $10 to $12. Repeated, only its lease changes. Answers with the database's time.
WITH worker AS (
    INSERT INTO forge_wf.workers (id, name, build, lease, lease_until, started_at)
    VALUES ($1, $2, $3, $4 * interval '1 microsecond', now() + $4 * interval '1 microsecond', now())
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
), lanes AS (
    INSERT INTO forge_wf.lanes (worker_id, lane, batch_no)
    SELECT $1, lane, 0 FROM generate_series(0, $5::int) AS lane
    ON CONFLICT DO NOTHING
), definitions AS (
    INSERT INTO forge_wf.definitions (worker_id, workflow, version, signature, algorithm, status)
    SELECT $1, it.* FROM unnest($6::text[], $7::text[], $8::uuid[], $9::smallint[], $13::smallint[]) AS it
    ON CONFLICT DO NOTHING
), signatures AS (
    -- In order: two workers that register at once would wait for each other.
    INSERT INTO forge_wf.signatures (signature, algorithm, workflow, version)
    SELECT it.signature, it.algorithm, it.workflow, it.version
    FROM unnest($6::text[], $7::text[], $8::uuid[], $9::smallint[]) AS it (workflow, version, signature, algorithm)
    ORDER BY it.workflow, it.version, it.signature
    ON CONFLICT DO NOTHING
), offers AS (
    INSERT INTO forge_wf.offers (worker_id, needs, definition, version)
    SELECT $1, it.* FROM unnest($10::uuid[], $11::uuid[], $12::text[]) AS it
    ON CONFLICT DO NOTHING
)
SELECT now()
