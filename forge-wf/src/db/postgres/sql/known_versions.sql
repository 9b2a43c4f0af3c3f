-- known_workflows: the names that live workers serve, sorted, each once.
SELECT DISTINCT definition.workflow
FROM forge_wf.definitions AS definition
JOIN forge_wf.workers AS worker ON worker.id = definition.worker_id AND worker.lease_until > now()
ORDER BY definition.workflow
