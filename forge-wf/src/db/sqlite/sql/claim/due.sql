-- due: runs due at ?2 that need one of the offers ?1 (JSON: [needs, definition, version, timeout], in hex, and microseconds that
-- count from when a run that is bound was due), but none of ?5 (JSON: ids in hex); enough of them for a claim of ?3 runs. Mail of kinds
-- above ?4, which this build cannot read, makes no run due, and a run of an unknown phase is not due here: a newer build may have
-- written them. Nor is what has no id of 16 bytes. The first part of a statement; `take` or `list` follows.
--
-- A million sleeping runs must not slow down the claim of ten due ones, nor a million due ones the claim of ten. So `level`
-- hops through the index from one priority to the next, and of each level no more than ?3 heads are looked at. Nor must a
-- flood of mail to one run: `letter` hops from one run that has mail to the next, and the first mail of each stands for all.
-- Orders are few. They make blocked and paused runs due too, and what ends a run (kinds 2, 5, 10 and 11) any worker can do.
-- One that names another number of retries than its run's is void and makes nothing due.
-- A ready run whose time has not come was started with a delay: nothing but time begins it, and of mail it is only claimed for what
-- ends it.
WITH RECURSIVE
offer (needs, definition, version, timeout) AS MATERIALIZED (
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3 FROM json_each(?1)
),
level (needs, priority) AS (
    SELECT wanted.needs, (
        SELECT max(run.priority) FROM forge_wf_runs AS run
        WHERE run.needs = wanted.needs
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
    ) FROM (SELECT DISTINCT needs FROM offer) AS wanted
    UNION ALL
    SELECT level.needs, (
        SELECT max(run.priority) FROM forge_wf_runs AS run
        WHERE run.needs = level.needs AND run.priority < level.priority
          AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
    ) FROM level WHERE level.priority IS NOT NULL
),
letter (run_id) AS (
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed WHERE mail.noticed_at IS NULL
    )
    UNION ALL
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
    ) FROM letter WHERE letter.run_id IS NOT NULL
),
due (id, priority, since) AS (
    SELECT run.id, run.priority, run.ready_at
    FROM level CROSS JOIN forge_wf_runs AS run
    WHERE level.priority IS NOT NULL AND run.id IN (
        SELECT head.id FROM forge_wf_runs AS head
        WHERE head.needs = level.needs AND head.priority = level.priority AND head.ready_at <= ?2
          AND head.worker_id IS NULL AND head.state IN (0, 2) AND head.phase IN (0, 1) AND length(head.id) = 16
          AND (?5 = '[]' OR head.id NOT IN (SELECT unhex(value) FROM json_each(?5)))
        ORDER BY head.ready_at LIMIT ?3
    )
    UNION ALL
    SELECT run.id, run.priority, (
        SELECT mail.sent_at FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
        WHERE mail.noticed_at IS NULL AND mail.run_id = run.id AND mail.kind BETWEEN 0 AND ?4
        ORDER BY mail.no LIMIT 1
    )
    FROM letter CROSS JOIN forge_wf_runs AS run
    WHERE run.id = letter.run_id AND run.worker_id IS NULL AND run.state = 2 AND run.needs IN (SELECT needs FROM offer)
      AND run.phase IN (0, 1) AND length(run.id) = 16 AND (?5 = '[]' OR run.id NOT IN (SELECT unhex(value) FROM json_each(?5)))
    UNION ALL
    SELECT run.id, run.priority, mail.sent_at
    FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_orders CROSS JOIN forge_wf_runs AS run
    WHERE mail.noticed_at IS NULL AND mail.kind NOT BETWEEN 0 AND 1 AND mail.kind NOT BETWEEN 7 AND 8 AND mail.kind <= ?4
      AND run.id = mail.run_id AND run.worker_id IS NULL AND run.state IN (0, 2, 3, 4)
      AND (mail.retries IS NULL OR mail.retries = coalesce(run.retries, 0))
      AND (mail.kind IN (2, 5, 10, 11)
          OR (run.state <> 0 OR run.ready_at <= ?2) AND run.needs IN (SELECT needs FROM offer))
      AND run.phase IN (0, 1) AND length(run.id) = 16 AND (?5 = '[]' OR run.id NOT IN (SELECT unhex(value) FROM json_each(?5)))
)
