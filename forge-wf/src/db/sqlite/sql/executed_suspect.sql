-- executed_suspect: whether the worker ?1, which is gone, was executing a run that had been taken over twice or more without progress
-- (see free_runs).
SELECT EXISTS (
    SELECT 1 FROM forge_wf_runs AS run INDEXED BY forge_wf_runs_suspects
    WHERE run.worker_id = ?1 AND run.takeovers >= 2 AND run.worker_id IS NOT NULL AND run.state = 1 AND run.takeover_entries = (
        SELECT count(*) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL)) + run.generation * 1000003
        FROM forge_wf_journal AS entry WHERE entry.run_id = run.id AND entry.generation = run.generation
    )
)
