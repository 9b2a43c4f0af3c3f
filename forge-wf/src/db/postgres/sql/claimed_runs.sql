-- claimed_runs: what worker $1 owns under claim $2, as claim_runs answers: the lane of claims as it is, twice true, the time,
-- nothing about the next run, and the runs, highest priority and longest waiting first.
SELECT lane.batch_no, true, true, now(), NULL::timestamptz,
    run.id, run.claim_no, run.generation, run.seed, run.workflow, run.definition, run.needs, run.phase,
    run.takeovers, run.parent_id, run.parent_call, run.deadline_at, run.block_reason, coalesce(run.retries, 0),
    run.takeover_entries
FROM (SELECT (SELECT batch_no FROM forge_wf.lanes WHERE worker_id = $1 AND lane = 0) AS batch_no) AS lane
LEFT JOIN forge_wf.runs AS run ON run.worker_id = $1 AND run.claim_no = $2
ORDER BY run.priority DESC, run.ready_at NULLS LAST, run.id
