-- executed_suspect: whether the worker $1, which is gone, was executing a run that had been taken over twice or more without progress
-- (see free_runs).
SELECT EXISTS (
    SELECT FROM forge_wf.runs AS run
    WHERE run.worker_id = $1 AND run.takeovers >= 2 AND run.state = 1 AND run.takeover_entries = (
        SELECT (
            count(*) + count(entry.seq) + count(*) FILTER (WHERE entry.undo_state >= 2) + run.generation::bigint * 1000003
        ) % 2147483648
        FROM forge_wf.journal AS entry WHERE entry.run_id = run.id AND entry.generation = run.generation
    )
)
