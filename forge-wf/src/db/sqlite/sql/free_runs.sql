-- free_runs: makes ready, at ?1, every run whose worker is gone.
--
-- Progress is the number of entries, of those with a seq and of those undone: it grows with a new entry and with an outcome,
-- so a takeover that finds it unchanged followed one without progress. Only executing runs (state 1) are counted. A run whose
-- present journal holds only `start` is unbound. INDEXED BY, lest the planner walk all runs there ever were.
UPDATE forge_wf_runs AS run SET
    worker_id = NULL,
    state = iif(run.state IN (0, 1, 2), 0, run.state),
    ready_at = iif(run.state IN (0, 1, 2), ?1, run.ready_at),
    takeovers = iif(run.state = 1, iif(run.takeover_entries = journal.progress, run.takeovers + 1, 1), run.takeovers),
    takeover_entries = iif(run.state = 1, journal.progress, run.takeover_entries),
    definition = iif(journal.present <= 1, NULL, run.definition),
    version = iif(journal.present <= 1, run.asked_version, run.version),
    needs = iif(journal.present <= 1, run.start_needs, run.needs)
FROM (
    SELECT orphan.id AS id,
        count(iif(entry.generation = orphan.generation, 1, NULL)) AS present,
        count(entry.run_id) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL)) AS progress
    FROM forge_wf_runs AS orphan INDEXED BY forge_wf_runs_worker
    LEFT JOIN forge_wf_journal AS entry ON entry.run_id = orphan.id
    WHERE orphan.worker_id IS NOT NULL AND orphan.worker_id NOT IN (SELECT id FROM forge_wf_workers)
    GROUP BY orphan.id
) AS journal
WHERE run.id = journal.id
