-- blocked: runs that were blocked by the code of a build other than ?1 and need what worker ?2 offers; of those only ?3 (JSON: ids in
-- hex), unless it is null. The first part of a statement; `make_ready` or `list` follows.
WITH blocked (id) AS MATERIALIZED (
    SELECT run.id FROM forge_wf_runs AS run
    WHERE run.state = 4 AND run.needs IN (SELECT needs FROM forge_wf_offers WHERE worker_id = ?2)
      AND run.block_reason IN ('panic', 'foreign_await', 'divergence', 'refused', 'journal_limit', 'unreadable')
      AND run.blocked_build IS NOT ?1 AND +run.worker_id IS NULL
      AND (?3 IS NULL OR run.id IN (SELECT unhex(value) FROM json_each(?3)))
)
