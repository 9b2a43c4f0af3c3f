-- known_versions: the versions of workflows that workers alive at ?1 have, sorted, each once, with what they are for. Of workers that
-- do not agree, active (0) goes before staging (2) and that before deprecated (1).
SELECT definition.workflow, definition.version,
    CASE WHEN min(definition.status) = 0 THEN 0 WHEN max(definition.status) = 2 THEN 2 ELSE 1 END
FROM forge_wf_definitions AS definition
JOIN forge_wf_workers AS worker ON worker.id = definition.worker_id AND worker.lease_until > ?1
GROUP BY definition.workflow, definition.version
ORDER BY definition.workflow, definition.version
