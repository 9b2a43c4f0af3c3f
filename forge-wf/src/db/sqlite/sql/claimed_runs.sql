-- claimed_runs: what worker ?1 owns under claim ?2, highest priority and longest waiting first. Takeovers no longer count
-- once the journal has moved on since the last of them (see free_runs for what counts as progress).
SELECT run.id, run.claim_no, run.generation, run.seed, run.workflow, run.definition, run.needs, run.phase,
    iif(run.takeovers > 0 AND run.takeover_entries = (
        SELECT count(*) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL))
        FROM forge_wf_journal AS entry WHERE entry.run_id = run.id
    ), run.takeovers, 0),
    run.parent_id, run.parent_call, run.deadline_at, run.block_reason, coalesce(run.retries, 0)
FROM forge_wf_runs AS run
WHERE run.worker_id = ?1 AND run.claim_no = ?2
ORDER BY run.priority DESC, run.ready_at IS NULL, run.ready_at, run.id
