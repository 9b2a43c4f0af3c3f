-- audit: the newest ?2 lines about run ?1, oldest first.
SELECT at, who, action, coalesce(details, '')
FROM (SELECT * FROM forge_wf_audit WHERE run_id = ?1 ORDER BY no DESC LIMIT ?2)
ORDER BY no
