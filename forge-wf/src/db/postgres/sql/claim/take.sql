-- take: gives worker $8, as claim $9, up to $1 of what is due (of that only run $11, unless it is null), and those of $10 that it owns
-- already. Answers with the lane of claims as it was, whether anything was there to take, whether the lane moved, the time, when the
-- next run is due if nothing was there to take, and the runs.
--
-- Without anything due nothing is written, and each level tells when its next run is due. The lane is moved before a run is
-- locked, so the same claim sent again waits for the first attempt and then finds the lane moved.
--
-- Runs are locked one at a time, in order, until there are enough of them: SKIP LOCKED, so claimers never queue behind each
-- other; MATERIALIZED, so LIMIT is a limit. More heads are looked at than taken, since other claimers lock the first ones.
-- What is locked is looked at again, as it is by then: it may need something else, if it was moved to another version.
), mine (id) AS MATERIALIZED (
    SELECT run.id FROM forge_wf.runs AS run
    WHERE run.id = ANY ($10::uuid[]) AND run.worker_id IS NOT DISTINCT FROM $8
), fence AS (
    UPDATE forge_wf.lanes SET batch_no = $9
    WHERE worker_id = $8 AND lane = 0 AND batch_no < $9
      AND (EXISTS (SELECT FROM due) OR EXISTS (SELECT FROM mine))
    RETURNING batch_no
), picked (id, needs) AS MATERIALIZED (
    SELECT locked.id, locked.needs FROM fence, due, LATERAL (
        SELECT run.id, run.needs FROM forge_wf.runs AS run
        WHERE run.id = due.id AND run.needs IS NOT DISTINCT FROM due.needs AND fence.batch_no = $9
          AND ($11::uuid IS NULL OR run.id = $11) AND run.worker_id IS NULL AND (
              run.state IN (0, 2) AND run.ready_at <= now() OR run.state = 2 AND due.has_mail
              OR run.state IN (0, 2, 3, 4) AND due.has_orders
          )
        FOR UPDATE SKIP LOCKED
    ) AS locked
    LIMIT $1
), taken AS (
    UPDATE forge_wf.runs AS run SET
        worker_id = $8,
        claim_no = $9,
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
FROM (SELECT (SELECT batch_no FROM forge_wf.lanes WHERE worker_id = $8 AND lane = 0) AS batch_no) AS lane
LEFT JOIN taken AS run ON true
ORDER BY run.priority DESC, run.ready_at NULLS LAST, run.id
