-- free_runs: makes ready, at ?1, up to ?3 runs of worker ?2, which is gone; only run ?5, unless that is null; runs that were taken over
-- twice or more (?6), or the others.
--
-- Progress is the number of entries, of those with a seq and of those undone: it grows with a new entry and with an outcome, so a
-- takeover that finds it unchanged followed one without progress. Only executing runs (state 1) are counted; if the worker was
-- executing a suspect (?4), then of these only suspects, since they are the likely cause; none if the worker lives (?7 is false). A run whose present journal holds only
-- `start` is unbound. INDEXED BY, lest the planner walk all runs there ever were.
UPDATE forge_wf_runs AS run SET
    worker_id = NULL,
    state = iif(run.state IN (0, 1, 2), 0, run.state),
    ready_at = iif(run.state IN (0, 1, 2), ?1, run.ready_at),
    takeovers = CASE
        WHEN run.state <> 1 OR NOT ?7 THEN run.takeovers
        WHEN ?4 AND (run.takeovers < 2 OR run.takeover_entries <> journal.progress) THEN run.takeovers
        WHEN run.takeover_entries = journal.progress THEN run.takeovers + 1
        ELSE 1
    END,
    takeover_entries = CASE
        WHEN run.state = 1 AND ?7 AND NOT (?4 AND (run.takeovers < 2 OR run.takeover_entries <> journal.progress)) THEN journal.progress
        ELSE run.takeover_entries
    END,
    definition = iif(journal.present <= 1, NULL, run.definition),
    version = iif(journal.present <= 1, run.asked_version, run.version),
    needs = iif(journal.present <= 1, run.start_needs, run.needs)
FROM (
    SELECT orphan.id AS id,
        count(iif(entry.generation = orphan.generation, 1, NULL)) AS present,
        count(entry.run_id) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL)) AS progress
    FROM (
        SELECT id, generation FROM forge_wf_runs INDEXED BY forge_wf_runs_worker
        WHERE worker_id = ?2 AND worker_id IS NOT NULL AND (takeovers >= 2) = ?6 AND (?5 IS NULL OR id = ?5)
        LIMIT ?3
    ) AS orphan
    LEFT JOIN forge_wf_journal AS entry ON entry.run_id = orphan.id
    GROUP BY orphan.id
) AS journal
WHERE run.id = journal.id
