-- claimed_runs: what worker ?1 owns under claim ?2, highest priority and longest waiting first.
SELECT run.id, run.claim_no, run.generation, run.seed, run.workflow, run.definition, run.needs, run.phase,
    run.takeovers, run.parent_id, run.parent_call, run.deadline_at, run.block_reason, coalesce(run.retries, 0),
    run.takeover_entries
FROM forge_wf_runs AS run
WHERE run.worker_id = ?1 AND run.claim_no = ?2
ORDER BY run.priority DESC, run.ready_at IS NULL, run.ready_at, run.id
