-- free_runs: makes ready up to $2 runs of worker $1, which is gone; only run $4, unless that is null. Answers with their number.
--
-- Progress is the number of entries, of those with a seq and of those undone: it grows with a new entry and with an outcome, so a
-- takeover that finds it unchanged followed one without progress. Only executing runs (state 1) are counted; if the worker was
-- executing a suspect ($3), then of these only suspects, since they are the likely cause; none if the worker lives ($5 is false). A run whose present journal holds only
-- `start` is unbound.
--
-- Suspects are freed last, so whether there was one is known until the others are free. SKIP LOCKED: a run that is locked is being
-- freed by another worker just now.
WITH orphan AS MATERIALIZED (
    SELECT locked.id, locked.generation FROM (
        SELECT run.id, run.generation FROM forge_wf.runs AS run
        WHERE run.worker_id = $1 AND run.takeovers < 2 AND ($4::uuid IS NULL OR run.id = $4)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS locked
    UNION ALL
    SELECT locked.id, locked.generation FROM (
        SELECT run.id, run.generation FROM forge_wf.runs AS run
        WHERE run.worker_id = $1 AND run.takeovers >= 2 AND ($4::uuid IS NULL OR run.id = $4)
          AND NOT EXISTS (SELECT FROM forge_wf.runs AS other WHERE other.worker_id = $1 AND other.takeovers < 2)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS locked
), freed AS (
    UPDATE forge_wf.runs AS run SET
        worker_id = NULL,
        state = CASE WHEN run.state IN (0, 1, 2) THEN 0 ELSE run.state END,
        ready_at = CASE WHEN run.state IN (0, 1, 2) THEN now() ELSE run.ready_at END,
        takeovers = CASE
            WHEN run.state <> 1 OR NOT $5 THEN run.takeovers
            WHEN $3 AND (run.takeovers < 2 OR run.takeover_entries <> journal.progress) THEN run.takeovers
            WHEN run.takeover_entries = journal.progress THEN run.takeovers + 1
            ELSE 1
        END,
        takeover_entries = CASE
            WHEN run.state = 1 AND $5 AND NOT ($3 AND (run.takeovers < 2 OR run.takeover_entries <> journal.progress)) THEN journal.progress
            ELSE run.takeover_entries
        END,
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
