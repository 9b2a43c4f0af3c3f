-- offered: versions and signatures of workflow ?2 among the workers alive at ?1.
SELECT DISTINCT version, signature FROM forge_wf_definitions
WHERE workflow = ?2 AND worker_id IN (SELECT id FROM forge_wf_workers WHERE lease_until > ?1)
ORDER BY version, signature
