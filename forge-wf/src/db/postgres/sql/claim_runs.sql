-- claim_runs: gives worker $1, as claim $2, up to $3 due runs that need one of the offers $4 (with definition $5, version
-- $6, and a timeout of $9 microseconds, which counts from when a run that is bound was due), and those of $7 it owns already, but none of $10. Mail of kinds above $8, which this build cannot read, makes no run due, and
-- a run of an unknown phase is not due here: a newer build may have written them. Answers with
-- the lane of claims as it was, whether anything was there to take, whether the lane moved, the time, when the next run is due
-- if nothing was there to take, and the runs.
--
-- A million sleeping runs must not slow down the claim of ten due ones, nor a million due ones the claim of ten. So `level`
-- hops through the index from one priority to the next, and of each level no more than some heads are looked at. Nor must a
-- flood of mail to one run: `letter` hops from one run that has mail to the next, and the first mail of each stands for all.
-- Orders are few. They make blocked and paused runs due too, and what ends a run (kinds 2, 5, 10 and 11) any worker can do.
-- One that names another number of retries than its run's is void and makes nothing due.
-- A ready run whose time has not come was started with a delay: nothing but time begins it, and of mail it is only claimed for what
-- ends it.
--
-- Without anything due nothing is written, and each level tells when its next run is due. The lane is moved before a run is
-- locked, so the same claim sent again waits for the first attempt and then finds the lane moved.
--
-- Runs are locked one at a time, in order, until there are enough of them: SKIP LOCKED, so claimers never queue behind each
-- other; MATERIALIZED, so LIMIT is a limit. More heads are looked at than taken, since other claimers lock the first ones.
-- What is locked is looked at again, as it is by then: it may need something else, if it was moved to another version.
--
-- Runs are joined by `id = ANY (ARRAY[..])`: beside the settings of our connections that is a look into the index for each row. A plain
-- `=` may become a walk over all runs in the order of their ids: a plan that was made while the table was small is kept while it
-- grows.
WITH RECURSIVE offer (needs, definition, version, timeout) AS MATERIALIZED (
    SELECT DISTINCT ON (it.needs) it.needs, it.definition, it.version, it.timeout * interval '1 microsecond'
    FROM unnest($4::uuid[], $5::uuid[], $6::text[], $9::bigint[]) AS it (needs, definition, version, timeout)
), level (needs, priority) AS (
    SELECT offer.needs, (
        SELECT run.priority FROM forge_wf.runs AS run
        WHERE run.needs = offer.needs
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
        ORDER BY run.priority DESC LIMIT 1
    ) FROM offer WHERE $3 > 0
    UNION ALL
    SELECT level.needs, (
        SELECT run.priority FROM forge_wf.runs AS run
        WHERE run.needs = level.needs AND run.priority < level.priority
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
        ORDER BY run.priority DESC LIMIT 1
    ) FROM level WHERE level.priority IS NOT NULL
), letter (run_id) AS (
    (SELECT mail.run_id FROM forge_wf.inbox AS mail WHERE mail.noticed_at IS NULL AND $3 > 0 ORDER BY mail.run_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT mail.run_id FROM forge_wf.inbox AS mail
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
        ORDER BY mail.run_id LIMIT 1
    ) FROM letter WHERE letter.run_id IS NOT NULL
), due (id, needs, priority, since, has_mail, has_orders) AS MATERIALIZED (
    SELECT it.id, it.needs, max(it.priority), min(it.since), bool_or(it.has_mail), bool_or(it.has_orders) FROM (
        SELECT head.id, level.needs, level.priority, head.ready_at AS since, false AS has_mail, false AS has_orders
        FROM level, LATERAL (
            SELECT run.id, run.ready_at FROM forge_wf.runs AS run
            WHERE run.needs = level.needs AND run.priority = level.priority AND run.ready_at <= now()
              AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.phase IN (0, 1) AND run.id <> ALL ($10::uuid[])
            ORDER BY run.ready_at LIMIT $3 * 4 + 16
        ) AS head
        WHERE level.priority IS NOT NULL
        UNION ALL
        SELECT run.id, run.needs, run.priority, oldest.sent_at, true, false
        FROM letter JOIN forge_wf.runs AS run ON run.id = ANY (ARRAY[letter.run_id]), LATERAL (
            SELECT mail.sent_at FROM forge_wf.inbox AS mail
            WHERE mail.run_id = run.id AND mail.noticed_at IS NULL AND mail.kind BETWEEN 0 AND $8
            ORDER BY mail.no LIMIT 1
        ) AS oldest
        WHERE run.worker_id IS NULL AND run.state = 2 AND run.needs IN (SELECT offer.needs FROM offer)
          AND run.phase IN (0, 1) AND run.id <> ALL ($10::uuid[])
        UNION ALL
        SELECT run.id, run.needs, run.priority, mail.sent_at, false, true
        FROM forge_wf.inbox AS mail JOIN forge_wf.runs AS run ON run.id = ANY (ARRAY[mail.run_id])
        WHERE mail.noticed_at IS NULL AND mail.kind NOT IN (0, 1, 7, 8) AND mail.kind <= $8 AND $3 > 0
          AND run.worker_id IS NULL AND run.state IN (0, 2, 3, 4)
          AND (mail.retries IS NULL OR mail.retries = coalesce(run.retries, 0))
          AND (mail.kind IN (2, 5, 10, 11)
              OR (run.state <> 0 OR run.ready_at <= now()) AND run.needs IN (SELECT offer.needs FROM offer))
          AND run.phase IN (0, 1) AND run.id <> ALL ($10::uuid[])
    ) AS it
    GROUP BY it.id, it.needs
    ORDER BY max(it.priority) DESC, min(it.since), it.id
), mine (id) AS MATERIALIZED (
    SELECT run.id FROM forge_wf.runs AS run
    WHERE run.id = ANY ($7::uuid[]) AND run.worker_id IS NOT DISTINCT FROM $1
), fence AS (
    UPDATE forge_wf.lanes SET batch_no = $2
    WHERE worker_id = $1 AND lane = 0 AND batch_no < $2
      AND (EXISTS (SELECT FROM due) OR EXISTS (SELECT FROM mine))
    RETURNING batch_no
), picked (id, needs) AS MATERIALIZED (
    SELECT locked.id, locked.needs FROM fence, due, LATERAL (
        SELECT run.id, run.needs FROM forge_wf.runs AS run
        WHERE run.id = due.id AND run.needs IS NOT DISTINCT FROM due.needs AND fence.batch_no = $2
          AND run.worker_id IS NULL AND (
              run.state IN (0, 2) AND run.ready_at <= now() OR run.state = 2 AND due.has_mail
              OR run.state IN (0, 2, 3, 4) AND due.has_orders
          )
        FOR UPDATE SKIP LOCKED
    ) AS locked
    LIMIT $3
), taken AS (
    UPDATE forge_wf.runs AS run SET
        worker_id = $1,
        claim_no = $2,
        state = 1,
        definition = coalesce(run.definition, it.definition),
        version = CASE WHEN run.definition IS NULL THEN coalesce(it.version, run.version) ELSE run.version END,
        needs = CASE WHEN run.definition IS NULL THEN coalesce(it.definition, run.needs) ELSE run.needs END,
        deadline_at = CASE
            WHEN run.definition IS NULL THEN coalesce(run.deadline_at, coalesce(run.ready_at, now()) + it.timeout)
            ELSE run.deadline_at
        END
    FROM (
        SELECT picked.id, offer.definition, offer.version, offer.timeout
        FROM picked LEFT JOIN offer ON offer.needs = picked.needs
        UNION ALL
        SELECT mine.id, NULL, NULL, NULL FROM fence, mine
    ) AS it
    WHERE run.id = ANY (ARRAY[it.id])
    RETURNING run.id, run.claim_no, run.generation, run.seed, run.workflow, run.definition, run.needs, run.phase,
        run.takeovers, run.takeover_entries, run.priority, run.ready_at, run.parent_id, run.parent_call, run.deadline_at, run.block_reason,
        run.retries
)
SELECT lane.batch_no, EXISTS (SELECT FROM due) OR EXISTS (SELECT FROM mine), EXISTS (SELECT FROM fence), now(),
    CASE WHEN NOT (EXISTS (SELECT FROM due) OR EXISTS (SELECT FROM mine)) THEN (
        SELECT min(next.ready_at) FROM level, LATERAL (
            SELECT run.ready_at FROM forge_wf.runs AS run
            WHERE run.needs = level.needs AND run.priority = level.priority AND run.ready_at > now()
              AND run.worker_id IS NULL AND run.state IN (0, 2)
            ORDER BY run.ready_at LIMIT 1
        ) AS next
        WHERE level.priority IS NOT NULL
    ) END,
    run.id, run.claim_no, run.generation, run.seed, run.workflow, run.definition, run.needs, run.phase,
    run.takeovers, run.parent_id, run.parent_call, run.deadline_at, run.block_reason, coalesce(run.retries, 0),
    run.takeover_entries
FROM (SELECT (SELECT batch_no FROM forge_wf.lanes WHERE worker_id = $1 AND lane = 0) AS batch_no) AS lane
LEFT JOIN taken AS run ON true
ORDER BY run.priority DESC, run.ready_at NULLS LAST, run.id
