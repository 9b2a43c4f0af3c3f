-- unserved: runs due since before ?2, be it by their mail, that no worker alive at ?1 offers to run, grouped, most first.
SELECT workflow, version, definition, count(*)
FROM forge_wf_runs
WHERE worker_id IS NULL AND state IN (0, 2) AND (
    ready_at <= ?2
    OR state = 2 AND id IN (SELECT run_id FROM forge_wf_inbox WHERE noticed_at IS NULL AND sent_at <= ?2)
) AND needs NOT IN (
    SELECT offer.needs FROM forge_wf_offers AS offer
    WHERE offer.worker_id IN (SELECT id FROM forge_wf_workers WHERE lease_until > ?1)
)
GROUP BY workflow, version, definition
ORDER BY count(*) DESC, workflow, version
