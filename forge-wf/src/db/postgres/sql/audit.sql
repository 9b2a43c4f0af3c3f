-- audit: the newest $2 lines about run $1, oldest first.
SELECT newest.at, newest.who, newest.action, coalesce(newest.details, '')
FROM (SELECT * FROM forge_wf.audit AS line WHERE line.run_id = $1 ORDER BY line.no DESC LIMIT $2) AS newest
ORDER BY newest.no
