-- move_run: binds run $1 to definition $4, version $5, if worker $2 owns it under claim $3; with the entry $7 number $8 of kind $9,
-- state $10 and arguments $11 in generation $6, recorded at $12, unless that is there. A row comes back if it does own it.
WITH moved AS (
    UPDATE forge_wf.runs SET definition = $4, needs = $4, version = $5
    WHERE id = $1 AND worker_id = $2 AND claim_no = $3 AND phase = 0
    RETURNING id
), said AS (
    INSERT INTO forge_wf.journal (run_id, generation, key, n, kind, state, args, at, args_hash, scope, attempts)
    SELECT id, $6, $7, $8, $9, $10, $11, $12, 0, 0, 0 FROM moved
    ON CONFLICT DO NOTHING
)
SELECT id FROM moved
