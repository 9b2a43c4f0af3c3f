-- fence: moves lane ?2 of worker ?1 on to batch ?3, if it stands ?4 before it. No row: the lease is lost, the batch was applied, or there is a gap.
UPDATE forge_wf_lanes SET batch_no = ?3 WHERE worker_id = ?1 AND lane = ?2 AND batch_no = ?3 - ?4
