-- commit: applies batch $3 of lane $2 of worker $1, all of it or nothing. Every part below joins `fence`: no row there (the
-- lease is lost, the batch was applied before, or there is a gap) means that no part writes. Parts are added as a batch
-- needs them, always in the order of the files: fence, entries, updates, births, rest, and one answer.
WITH fence AS (
    UPDATE forge_wf.lanes SET batch_no = $3
    WHERE worker_id = $1 AND lane = $2 AND batch_no = $3 - 1
    RETURNING batch_no
)
