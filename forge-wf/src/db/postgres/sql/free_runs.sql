-- free_runs: makes ready every run whose worker is gone, and answers with their number.
--
-- `owner` hops through the index from one worker to the next, so looking costs as many steps as there are workers. Progress
-- is the number of entries, of those with a seq and of those undone: it grows with a new entry and with an outcome, so a
-- takeover that finds it unchanged followed one without progress. Only executing runs (state 1) are counted. A run whose
-- present journal holds only `start` is unbound.
--
-- SKIP LOCKED: a run that is locked is being freed by somebody else just now.
WITH RECURSIVE owner (id) AS (
    (SELECT worker_id FROM forge_wf.runs WHERE worker_id IS NOT NULL ORDER BY worker_id LIMIT 1)
    UNION ALL
    SELECT (SELECT worker_id FROM forge_wf.runs WHERE worker_id > owner.id ORDER BY worker_id LIMIT 1)
    FROM owner WHERE owner.id IS NOT NULL
), gone (id) AS MATERIALIZED (
    SELECT owner.id FROM owner
    WHERE owner.id IS NOT NULL AND NOT EXISTS (SELECT FROM forge_wf.workers WHERE workers.id = owner.id)
), orphan AS MATERIALIZED (
    SELECT locked.id, locked.generation FROM gone, LATERAL (
        SELECT run.id, run.generation FROM forge_wf.runs AS run WHERE run.worker_id = gone.id FOR UPDATE SKIP LOCKED
    ) AS locked
), freed AS (
    UPDATE forge_wf.runs AS run SET
        worker_id = NULL,
        state = CASE WHEN run.state IN (0, 1, 2) THEN 0 ELSE run.state END,
        ready_at = CASE WHEN run.state IN (0, 1, 2) THEN now() ELSE run.ready_at END,
        takeovers = CASE
            WHEN run.state <> 1 THEN run.takeovers
            WHEN run.takeover_entries = journal.progress THEN run.takeovers + 1
            ELSE 1
        END,
        takeover_entries = CASE WHEN run.state = 1 THEN journal.progress ELSE run.takeover_entries END,
        definition = CASE WHEN journal.present <= 1 THEN NULL ELSE run.definition END,
        version = CASE WHEN journal.present <= 1 THEN run.asked_version ELSE run.version END,
        needs = CASE WHEN journal.present <= 1 THEN run.start_needs ELSE run.needs END
    FROM orphan, LATERAL (
        SELECT count(*) FILTER (WHERE entry.generation = orphan.generation) AS present,
            count(*) + count(entry.seq) + count(*) FILTER (WHERE entry.undo_state >= 2) AS progress
        FROM forge_wf.journal AS entry WHERE entry.run_id = orphan.id
    ) AS journal
    WHERE run.id = orphan.id
    RETURNING 1
)
SELECT count(*) FROM freed
