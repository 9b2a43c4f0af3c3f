-- count_owned: how many of these runs the last parameter owns under their claims. Runs are found by id: the `+` keeps the planner off
-- the index of workers. Rows of NULL count for nothing.
WITH asked (id, claim_no) AS (VALUES {rows})
SELECT count(*) FROM asked CROSS JOIN forge_wf_runs AS run
WHERE run.id = asked.id AND run.claim_no = asked.claim_no AND +run.worker_id = ?
