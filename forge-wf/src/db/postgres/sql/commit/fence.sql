-- commit: applies batch $3 of lane $2 of worker $1, all of it or nothing. Every part below joins `fence`: no row there (the
-- lease is lost, the batch was applied before, or there is a gap) means that no part writes. Parts are added as a batch
-- needs them, always in the order of the files: fence, entries, updates, births, rest, and one answer.
-- Arrays are unnested side by side in a select list, where they go in step and row by row. As one function over many arrays,
-- each would be filled into a store of its own first, which was a third of all that a commit cost the server.
WITH fence AS (
    UPDATE forge_wf.lanes SET batch_no = $3
    WHERE worker_id = $1 AND lane = $2 AND batch_no = $3 - 1
    RETURNING batch_no
)
