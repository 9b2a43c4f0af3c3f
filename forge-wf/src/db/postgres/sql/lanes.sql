-- lanes: each lane of worker $1 with its last batch. A worker that is gone has none.
SELECT lane, batch_no FROM forge_wf.lanes WHERE worker_id = $1
