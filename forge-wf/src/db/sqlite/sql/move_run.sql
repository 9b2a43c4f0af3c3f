-- move_run: binds run ?1 to definition ?4, version ?5, if worker ?2 owns it under claim ?3.
UPDATE forge_wf_runs SET definition = ?4, needs = ?4, version = ?5
WHERE id = ?1 AND worker_id = ?2 AND claim_no = ?3 AND phase = 0
