-- known_versions: the versions of workflows that live workers have, sorted, each once, with what they are for. Of workers that do
-- not agree, active (0) goes before staging (2) and that before deprecated (1).
SELECT definition.workflow, definition.version,
    CASE WHEN bool_or(definition.status = 0) THEN 0 WHEN bool_or(definition.status = 2) THEN 2 ELSE 1 END::smallint
FROM forge_wf.definitions AS definition
JOIN forge_wf.workers AS worker ON worker.id = definition.worker_id AND worker.lease_until > now()
GROUP BY definition.workflow, definition.version
ORDER BY definition.workflow, definition.version
