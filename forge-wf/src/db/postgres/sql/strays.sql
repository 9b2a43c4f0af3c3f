-- strays: up to $7 runs after run $6, by id, that nobody owns and that are due, be it by mail, and bound to a signature that worker $5
-- does not offer, of one of the versions $2 of the workflows $1, which is replaced ($3) or computed by an algorithm older than $4.
-- Mail makes those due too that are paused or blocked, but none before its delay is over.
WITH stray AS MATERIALIZED (
    SELECT known.signature
    FROM unnest($1::text[], $2::text[], $3::boolean[]) AS asked (workflow, version, is_replaced)
    JOIN forge_wf.signatures AS known ON known.workflow = asked.workflow AND known.version = asked.version
    WHERE (asked.is_replaced OR known.algorithm < $4)
      AND NOT EXISTS (SELECT FROM forge_wf.offers AS offer WHERE offer.worker_id = $5 AND offer.needs = known.signature)
), due (id) AS MATERIALIZED (
    SELECT run.id FROM stray JOIN forge_wf.runs AS run ON run.needs = stray.signature
    WHERE run.worker_id IS NULL AND run.state IN (0, 2) AND run.ready_at IS NOT NULL AND run.ready_at <= now() AND run.phase = 0
    UNION
    SELECT run.id FROM forge_wf.inbox AS mail JOIN forge_wf.runs AS run ON run.id = mail.run_id
    WHERE mail.noticed_at IS NULL AND run.worker_id IS NULL AND run.state IN (2, 3, 4) AND run.phase = 0
      AND EXISTS (SELECT FROM stray)
      AND run.needs = ANY (ARRAY(SELECT signature FROM stray))
)
SELECT run.id, run.generation, run.seed, run.workflow, run.version
FROM due JOIN forge_wf.runs AS run ON run.id = due.id
WHERE $6::uuid IS NULL OR run.id > $6
ORDER BY run.id
LIMIT $7
