-- run_view: a run as people see it at ?1; due since before ?2, be it by its mail, and offered by no live worker, it is
-- unserved. Mail makes no run due before its delay is over.
-- served: 0 yes, 1 nobody has the workflow, 2 nobody has the version, 3 nobody has the signature.
-- A waiting run with an open wait for an event (kind 3) or a child (4) is not only due later. {payloads} are its failure, its
-- output and the number of events nobody has taken, up to 1,000; or nothing of that. If {row_alone}, what it has in the journal or the
-- inbox cannot be read: neither mail nor open waits count. Both are asked for inside a CASE, so that they are not touched then.
WITH live (id) AS (SELECT id FROM forge_wf_workers WHERE lease_until > ?1)
SELECT run.id, run.workflow, run.version, run.definition, run.key, run.generation, run.phase, run.state,
    CASE
        WHEN run.ready_at IS NULL OR run.ready_at <= ?1 THEN 0
        WHEN run.state <> 2 OR {row_alone} THEN 1
        ELSE NOT EXISTS (
            SELECT 1 FROM forge_wf_journal AS entry
            WHERE entry.run_id = run.id AND entry.generation = run.generation
              AND entry.seq IS NULL AND entry.state = 0 AND entry.kind IN (3, 4)
        )
    END,
    CASE
        WHEN NOT (run.worker_id IS NULL AND run.state IN (0, 2) AND (
            coalesce(run.ready_at <= ?2, 0) OR CASE WHEN run.state = 2 AND NOT {row_alone} THEN EXISTS (
                SELECT 1 FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
                WHERE mail.run_id = run.id AND mail.noticed_at IS NULL AND mail.sent_at <= ?2
            ) ELSE 0 END
        )) THEN 0
        WHEN EXISTS (
            SELECT 1 FROM forge_wf_offers AS offer WHERE offer.needs = run.needs AND offer.worker_id IN (SELECT id FROM live)
        ) THEN 0
        WHEN NOT EXISTS (
            SELECT 1 FROM forge_wf_definitions AS serves
            WHERE serves.workflow = run.workflow AND serves.worker_id IN (SELECT id FROM live)
        ) THEN 1
        WHEN NOT EXISTS (
            SELECT 1 FROM forge_wf_definitions AS serves
            WHERE serves.workflow = run.workflow AND serves.version = run.version
              AND serves.worker_id IN (SELECT id FROM live)
        ) THEN 2
        ELSE 3
    END,
    run.block_reason, {payloads}, run.worker_id, run.created_at, run.ready_at, run.ended_at, run.deadline_at, run.priority,
    run.takeovers, run.owner, run.tags, run.parent_id, run.parent_call, run.seed
FROM forge_wf_runs AS run
WHERE {which}
