-- unblock_runs: makes ready, at ?1, what was blocked by the code of a build other than ?2 and what worker ?3 offers.
UPDATE forge_wf_runs SET
    state = 0, ready_at = ?1, block_reason = NULL, blocked_build = NULL, failure = NULL
WHERE state = 4 AND needs IN (SELECT needs FROM forge_wf_offers WHERE worker_id = ?3)
  AND block_reason IN ('panic', 'foreign_await', 'divergence', 'refused', 'journal_limit', 'unreadable')
  AND blocked_build IS NOT ?2 AND +worker_id IS NULL
