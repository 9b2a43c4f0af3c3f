-- due: runs that are due and need one of the offers $2 (with definition $3, version $4, and a timeout of $5 microseconds, which
-- counts from when a run that is bound was due), but none of $7; enough of them for a claim of $1 runs. Mail of kinds above $6, which
-- this build cannot read, makes no run due, and a run of an unknown phase is not due here: a newer build may have written them.
-- The first part of a statement; `take` or `list` follows.
--
-- A million sleeping runs must not slow down the claim of ten due ones, nor a million due ones the claim of ten. So `level`
-- hops through the index from one priority to the next, and of each level no more than some heads are looked at. Nor must a
-- flood of mail to one run: `letter` hops from one run that has mail to the next, and the first mail of each stands for all.
-- Orders are few. They make blocked and paused runs due too, and what ends a run (kinds 2, 5, 10 and 11) any worker can do.
-- One that names another number of retries than its run's is void and makes nothing due.
-- A ready run whose time has not come was started with a delay: nothing but time begins it, and of mail it is only claimed for what
-- ends it.
--
-- Runs are joined by `id = ANY (ARRAY[..])`: beside the settings of our connections that is a look into the index for each row. A plain
-- `=` may become a walk over all runs in the order of their ids: a plan that was made while the table was small is kept while it
-- grows.
WITH RECURSIVE offer (needs, definition, version, timeout) AS MATERIALIZED (
    SELECT DISTINCT ON (it.needs) it.needs, it.definition, it.version, it.timeout * interval '1 microsecond'
    FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) AS it (needs, definition, version, timeout)
), level (needs, priority) AS (
    SELECT offer.needs, (
        SELECT run.priority FROM forge_wf.runs AS run
        WHERE run.needs = offer.needs
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
        ORDER BY run.priority DESC LIMIT 1
    ) FROM offer WHERE $1 > 0
    UNION ALL
    SELECT level.needs, (
        SELECT run.priority FROM forge_wf.runs AS run
        WHERE run.needs = level.needs AND run.priority < level.priority
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
        ORDER BY run.priority DESC LIMIT 1
    ) FROM level WHERE level.priority IS NOT NULL
), letter (run_id) AS (
    (SELECT mail.run_id FROM forge_wf.inbox AS mail WHERE mail.noticed_at IS NULL AND $1 > 0 ORDER BY mail.run_id LIMIT 1)
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
              AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.phase IN (0, 1) AND run.id <> ALL ($7::uuid[])
            ORDER BY run.ready_at LIMIT $1 * 4 + 16
        ) AS head
        WHERE level.priority IS NOT NULL
        UNION ALL
        SELECT run.id, run.needs, run.priority, oldest.sent_at, true, false
        FROM letter JOIN forge_wf.runs AS run ON run.id = ANY (ARRAY[letter.run_id]), LATERAL (
            SELECT mail.sent_at FROM forge_wf.inbox AS mail
            WHERE mail.run_id = run.id AND mail.noticed_at IS NULL AND mail.kind BETWEEN 0 AND $6
            ORDER BY mail.no LIMIT 1
        ) AS oldest
        WHERE run.worker_id IS NULL AND run.state = 2 AND run.needs IN (SELECT offer.needs FROM offer)
          AND run.phase IN (0, 1) AND run.id <> ALL ($7::uuid[])
        UNION ALL
        SELECT run.id, run.needs, run.priority, mail.sent_at, false, true
        FROM forge_wf.inbox AS mail JOIN forge_wf.runs AS run ON run.id = ANY (ARRAY[mail.run_id])
        WHERE mail.noticed_at IS NULL AND mail.kind NOT IN (0, 1, 7, 8) AND mail.kind <= $6 AND $1 > 0
          AND run.worker_id IS NULL AND run.state IN (0, 2, 3, 4)
          AND (mail.retries IS NULL OR mail.retries = coalesce(run.retries, 0))
          AND (mail.kind IN (2, 5, 10, 11)
              OR (run.state <> 0 OR run.ready_at <= now()) AND run.needs IN (SELECT offer.needs FROM offer))
          AND run.phase IN (0, 1) AND run.id <> ALL ($7::uuid[])
    ) AS it
    GROUP BY it.id, it.needs
    ORDER BY max(it.priority) DESC, min(it.since), it.id
