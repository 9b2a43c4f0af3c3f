-- retry_run: lets run ?1 begin anew at ?5 as the generation after ?2, if it is in that one and has ended as failed, compensated or
-- cancelled. If ?3 it keeps seed and definition; otherwise the seed is ?4. A deadline counts no more, nor does a command that was given before.
UPDATE forge_wf_runs SET
    phase = 0, state = 0, ready_at = ?5, ended_at = NULL, deadline_at = NULL, generation = ?2 + 1,
    retries = coalesce(retries, 0) + 1, takeovers = 0, takeover_entries = 0, block_reason = NULL, blocked_build = NULL, failure = NULL,
    seed = iif(?3, seed, ?4),
    needs = iif(?3, coalesce(definition, start_needs), start_needs),
    definition = iif(?3, definition, NULL),
    version = iif(?3, version, asked_version)
WHERE id = ?1 AND phase = 2 AND state IN (11, 12, 13) AND generation = ?2
