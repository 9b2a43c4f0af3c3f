-- unserved: runs due for longer than $1 microseconds, be it by their mail, that no live worker offers to run, grouped, most first; beside each
-- group, versions and signatures that live workers offer under its name.
WITH live (id) AS MATERIALIZED (
    SELECT id FROM forge_wf.workers WHERE lease_until > now()
), served (needs) AS MATERIALIZED (
    SELECT DISTINCT offer.needs FROM live JOIN forge_wf.offers AS offer ON offer.worker_id = live.id
), letter (run_id) AS MATERIALIZED (
    SELECT DISTINCT run_id FROM forge_wf.inbox WHERE noticed_at IS NULL AND sent_at <= now() - $1 * interval '1 microsecond'
), waiting AS MATERIALIZED (
    SELECT run.workflow, run.version, run.definition, count(*) AS runs
    FROM forge_wf.runs AS run
    WHERE run.worker_id IS NULL AND run.state IN (0, 2)
      AND (run.ready_at <= now() - $1 * interval '1 microsecond' OR run.state = 2 AND run.id IN (SELECT run_id FROM letter))
      AND run.needs <> ALL (ARRAY(SELECT needs FROM served))
    GROUP BY run.workflow, run.version, run.definition
)
SELECT waiting.workflow, waiting.version, waiting.definition, waiting.runs, offered.versions, offered.signatures
FROM waiting, LATERAL (
    SELECT array_agg(it.version ORDER BY it.version, it.signature) AS versions,
        array_agg(it.signature ORDER BY it.version, it.signature) AS signatures
    FROM (
        SELECT DISTINCT serves.version, serves.signature
        FROM live JOIN forge_wf.definitions AS serves
            ON serves.worker_id = live.id AND serves.workflow = waiting.workflow
    ) AS it
) AS offered
ORDER BY waiting.runs DESC, waiting.workflow, waiting.version
