-- commit: applies batch $3 of lane $2 of worker $1, all of it or nothing. Every part below joins `fence`: no row there (the
-- lease is lost, the batch was applied before, or there is a gap) means that no part writes. Parts are added as a batch
-- needs them, always in the order of the files: fence, not_ours or updates, entries, births, rest, and one answer.
--
-- What belongs to a run in `not_ours` is not written. It knows the runs that the batch names: in `owned`, or by an update. It is nearly
-- always empty, so parts ask for what is not in it, which costs nothing for each row. The owner of a run can only change while the
-- fence holds if the database has lost a claim.
-- `<> ALL (ARRAY(SELECT ..))` is worked out once; as NOT IN (SELECT ..) it would be asked row by row.
--
-- Arrays are unnested side by side in a select list, where they go in step and row by row. As one function over many arrays,
-- each would be filled into a store of its own first, which was a third of all that a commit cost the server.
WITH fence AS (
    UPDATE forge_wf.lanes SET batch_no = $3
    WHERE worker_id = $1 AND lane = $2 AND batch_no = $3 - 1
    RETURNING batch_no
), refused (id, by) AS (
    -- Parts of run $4 are refused unless run $5 is owned under claim $6. The row is read and not locked. A subquery that returns a
    -- value is asked for each row; EXISTS might become a join, and that a walk over all runs.
    SELECT asked.id, asked.by
    FROM fence, (SELECT unnest($4::uuid[]) AS id, unnest($5::uuid[]) AS by, unnest($6::bigint[]) AS claim_no) AS asked
    WHERE (
        SELECT run.worker_id FROM forge_wf.runs AS run WHERE run.id = asked.by AND run.claim_no = asked.claim_no
    ) IS DISTINCT FROM $1
)
