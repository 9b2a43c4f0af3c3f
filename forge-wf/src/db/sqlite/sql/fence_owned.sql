-- fence_owned: moves a lane on as `fence` does, but only if the worker owns all of these runs under their claims. The parameters behind
-- the rows: the batch, the worker, the lane, where the lane must stand, how many runs these are, the worker. Rows of NULL count for
-- nothing. One statement, since each travels between two threads.
WITH asked (id, claim_no) AS (VALUES {rows})
UPDATE forge_wf_lanes SET batch_no = ?
WHERE worker_id = ? AND lane = ? AND batch_no = ?
    AND ? = (
        SELECT count(*) FROM asked CROSS JOIN forge_wf_runs AS run
        WHERE run.id = asked.id AND run.claim_no = asked.claim_no AND +run.worker_id = ?
    )
