-- run_view: the runs $1, newest first, or the run of workflow $2 that holds key $3, as people see them; if $5 with failure, output
-- and the number of events nobody has taken, up to 1,000. Due for longer than $4 microseconds, be it by its mail, and offered by no live
-- worker, a run is unserved. If $6, of its row alone, since what it has in the journal or the inbox cannot be read: then without output
-- and events, and neither mail nor open waits count. Each of these is asked for inside a CASE, so that it is not touched then. Mail makes no run due before its delay is over. served: 0 yes, 1 nobody has the workflow, 2 nobody has the version, 3 nobody has the signature. A waiting run with an open wait for an event (kind 3) or a child (4) is not only due later.
WITH live (id) AS MATERIALIZED (
    SELECT id FROM forge_wf.workers WHERE lease_until > now()
), wanted (id) AS MATERIALIZED (
    SELECT id FROM forge_wf.runs WHERE id = ANY ($1::uuid[])
    UNION ALL
    SELECT id FROM forge_wf.runs WHERE workflow = $2 AND key = $3 AND holds_key
)
SELECT run.id, run.workflow, run.version, run.definition, run.key, run.generation, run.phase, run.state,
    CASE
        WHEN run.ready_at IS NULL OR run.ready_at <= now() THEN false
        WHEN run.state <> 2 OR $6 THEN true
        ELSE NOT EXISTS (
            SELECT FROM forge_wf.journal AS entry
            WHERE entry.run_id = run.id AND entry.generation = run.generation
              AND entry.seq IS NULL AND entry.state = 0 AND entry.kind IN (3, 4)
        )
    END,
    CASE
        WHEN NOT (run.worker_id IS NULL AND run.state IN (0, 2) AND (
            coalesce(run.ready_at <= now() - $4 * interval '1 microsecond', false) OR CASE WHEN run.state = 2 AND NOT $6 THEN EXISTS (
                SELECT FROM forge_wf.inbox AS mail
                WHERE mail.run_id = run.id AND mail.noticed_at IS NULL AND mail.sent_at <= now() - $4 * interval '1 microsecond'
            ) ELSE false END
        )) THEN 0::smallint
        WHEN EXISTS (
            SELECT FROM live JOIN forge_wf.offers AS offer ON offer.worker_id = live.id AND offer.needs = run.needs
        ) THEN 0::smallint
        WHEN NOT EXISTS (
            SELECT FROM live JOIN forge_wf.definitions AS serves
                ON serves.worker_id = live.id AND serves.workflow = run.workflow
        ) THEN 1::smallint
        WHEN NOT EXISTS (
            SELECT FROM live JOIN forge_wf.definitions AS serves
                ON serves.worker_id = live.id AND serves.workflow = run.workflow AND serves.version = run.version
        ) THEN 2::smallint
        ELSE 3::smallint
    END,
    run.block_reason, CASE WHEN $5 THEN run.failure END,
    CASE WHEN $5 AND NOT $6 AND run.state = 10 THEN (
        SELECT ending.output FROM forge_wf.journal AS ending
        WHERE ending.run_id = run.id AND ending.generation = run.generation AND ending.key = 'end' AND ending.n = 0
    ) END,
    CASE WHEN $5 AND NOT $6 THEN (
        SELECT count(*) FROM (
            SELECT FROM forge_wf.inbox AS mail
            WHERE mail.run_id = run.id AND mail.taken_at IS NULL AND mail.kind = 0 LIMIT 1000
        ) AS events
    ) ELSE 0 END,
    run.worker_id, run.created_at, run.ready_at, run.ended_at, run.deadline_at, run.priority, run.takeovers, run.owner, run.tags,
    run.parent_id, run.parent_call, run.seed
FROM wanted
JOIN forge_wf.runs AS run ON run.id = wanted.id
ORDER BY run.id DESC
