-- known_workflows: the names that workers alive at ?1 serve, sorted, each once.
SELECT DISTINCT definition.workflow
FROM forge_wf_definitions AS definition
JOIN forge_wf_workers AS worker ON worker.id = definition.worker_id AND worker.lease_until > ?1
ORDER BY definition.workflow
