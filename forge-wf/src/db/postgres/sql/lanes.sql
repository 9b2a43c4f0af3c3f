-- lanes: each lane of worker $1 with its last batch. A worker that is gone has none. None of a standby: that may lag, and loses nothing
-- as long as nothing is written to it.
SELECT lane, batch_no FROM forge_wf.lanes WHERE worker_id = $1 AND NOT pg_is_in_recovery()
