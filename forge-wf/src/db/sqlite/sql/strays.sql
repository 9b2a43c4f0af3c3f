-- strays: up to ?5 runs after run ?4, by id, that nobody owns and that are due at ?6, be it by mail, and bound to a signature that worker
-- ?3 does not offer, of one of the versions ?1 (a list of workflow, version and whether that is replaced), replaced or computed by an
-- algorithm older than ?2.
-- Mail makes those due too that are paused or blocked, but none before its delay is over.
WITH stray (signature) AS MATERIALIZED (
    SELECT known.signature
    FROM json_each(?1) AS asked CROSS JOIN forge_wf_signatures AS known
    WHERE known.workflow = asked.value ->> 0 AND known.version = asked.value ->> 1
      AND (asked.value ->> 2 = 1 OR known.algorithm < ?2)
      AND NOT EXISTS (
          SELECT 1 FROM forge_wf_offers AS offer WHERE offer.worker_id = ?3 AND offer.needs = known.signature
      )
), due (id) AS (
    SELECT run.id FROM stray CROSS JOIN forge_wf_runs AS run
    WHERE run.needs = stray.signature AND run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL
      AND run.ready_at <= ?6 AND run.phase = 0
    UNION
    SELECT run.id FROM forge_wf_inbox AS mail CROSS JOIN forge_wf_runs AS run
    WHERE mail.noticed_at IS NULL AND run.id = mail.run_id AND run.worker_id IS NULL AND run.state IN (2, 3, 4)
      AND EXISTS (SELECT 1 FROM stray)
      AND run.phase = 0 AND run.needs IN (SELECT signature FROM stray)
)
SELECT run.id, run.generation, run.seed, run.workflow, run.version
FROM due CROSS JOIN forge_wf_runs AS run
WHERE run.id = due.id AND length(run.id) = 16 AND (?4 IS NULL OR run.id > ?4)
ORDER BY run.id
LIMIT ?5
