-- commit: applies batch $3 of lane $2 of worker $1, all of it or nothing. Every part below joins `fence` or `guard`: no row there (the
-- lease is lost, the batch was applied before, or there is a gap) means that no part writes. What belongs to a run is written only if
-- `guard` says that the run is this worker's. Parts are added as a batch
-- needs them, always in the order of the files: fence, entries, updates, births, rest, and one answer.
-- `= ANY (ARRAY(SELECT ..))` is worked out once and looked up by hash; as IN (SELECT ..) it would be joined row by row.
-- Arrays are unnested side by side in a select list, where they go in step and row by row. As one function over many arrays,
-- each would be filled into a store of its own first, which was a third of all that a commit cost the server.
WITH fence AS (
    UPDATE forge_wf.lanes SET batch_no = $3
    WHERE worker_id = $1 AND lane = $2 AND batch_no = $3 - 1
    RETURNING batch_no
), guard (id, by, is_ours) AS MATERIALIZED (
    -- Parts of run $4 are written if run $5 is owned under claim $6, or if that is null because this batch inserts it. The row is
    -- read and not locked: the owner can only change while the fence holds if the database has lost a claim.
    SELECT asked.id, asked.by, asked.claim_no IS NULL OR EXISTS (
        SELECT FROM forge_wf.runs AS run
        WHERE run.id = asked.by AND run.claim_no = asked.claim_no AND run.worker_id IS NOT DISTINCT FROM $1
    )
    FROM fence, (SELECT unnest($4::uuid[]) AS id, unnest($5::uuid[]) AS by, unnest($6::bigint[]) AS claim_no) AS asked
)
