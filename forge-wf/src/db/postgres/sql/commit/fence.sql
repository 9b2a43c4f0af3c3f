-- commit: applies batch $3 of lane $2 of worker $1, all of it or nothing, if the lane stands $4 before it. Every part below joins
-- `fence`: no row there (the lease is lost, the batch was applied before, or there is a gap) means that no part writes. Parts are
-- added as a batch needs them, always in the order of the files: fence, not_ours or updates, entries, births, rest, and one answer.
--
-- The statement waits up to $5 milliseconds for a row that another transaction has locked. For the row of the lane it waits as long as
-- the session allows: only an earlier attempt of this worker locks that. The setting ends with the statement.
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
    WHERE worker_id = $1 AND lane = $2 AND batch_no = $3 - $4
    RETURNING batch_no, set_config('lock_timeout', $5::text, true)
), refused (id, by) AS (
    -- Parts of run $6 are refused unless run $7 is owned under claim $8. The row is read and not locked. A subquery that returns a
    -- value is asked for each row; EXISTS might become a join, and that a walk over all runs.
    SELECT asked.id, asked.by
    FROM fence, (SELECT unnest($6::uuid[]) AS id, unnest($7::uuid[]) AS by, unnest($8::bigint[]) AS claim_no) AS asked
    WHERE (
        SELECT run.worker_id FROM forge_wf.runs AS run WHERE run.id = asked.by AND run.claim_no = asked.claim_no
    ) IS DISTINCT FROM $1
)
