-- free_runs: makes ready up to $2 runs of worker $1, which is gone, but none of $6; only run $4, unless that is null. Answers with their
-- number.
--
-- Progress is the number of entries of the present generation, of those with a seq and of those undone: it grows with a new entry and
-- with an outcome. The generation is mixed in, so a new generation is progress, and older generations are not read. A takeover that
-- finds it unchanged followed one without progress. Only executing runs (state 1) are counted; if the worker was executing a suspect
-- ($3), then of these only suspects, since they are the likely cause; none if the worker lives ($5 is false). The progress of other
-- runs is not counted. A run whose present journal holds only `start` is unbound; two entries are enough to know.
--
-- Suspects are freed last, so whether there was one is known until the others are free. A run that is asked for by its id ($4) waits for
-- no other, since another one may be there that cannot be written. SKIP LOCKED: a run that is locked is being
-- freed by another worker just now.
WITH orphan AS MATERIALIZED (
    SELECT locked.* FROM (
        SELECT run.id, run.generation, run.state = 1 AND $5 AND NOT $3 AS counts FROM forge_wf.runs AS run
        WHERE run.worker_id = $1 AND run.takeovers < 2 AND ($4::uuid IS NULL OR run.id = $4) AND run.id <> ALL ($6::uuid[])
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS locked
    UNION ALL
    SELECT locked.* FROM (
        SELECT run.id, run.generation, run.state = 1 AND $5 AS counts FROM forge_wf.runs AS run
        WHERE run.worker_id = $1 AND run.takeovers >= 2 AND ($4::uuid IS NULL OR run.id = $4) AND run.id <> ALL ($6)
          AND ($4 IS NOT NULL OR NOT EXISTS (
              SELECT FROM forge_wf.runs AS other
              WHERE other.worker_id = $1 AND other.takeovers < 2 AND other.id <> ALL ($6)
          ))
        LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS locked
), measured AS MATERIALIZED (
    SELECT orphan.id,
        (
            SELECT count(*) FROM (
                SELECT FROM forge_wf.journal AS entry
                WHERE entry.run_id = orphan.id AND entry.generation = orphan.generation LIMIT 2
            ) AS entries
        ) AS present,
        CASE WHEN orphan.counts THEN (
            SELECT (
                count(*) + count(entry.seq) + count(*) FILTER (WHERE entry.undo_state >= 2) + orphan.generation::bigint * 1000003
            ) % 2147483648
            FROM forge_wf.journal AS entry WHERE entry.run_id = orphan.id AND entry.generation = orphan.generation
        ) END AS progress
    FROM orphan
), freed AS (
    UPDATE forge_wf.runs AS run SET
        worker_id = NULL,
        state = CASE WHEN run.state IN (0, 1, 2) THEN 0 ELSE run.state END,
        ready_at = CASE WHEN run.state IN (0, 1, 2) THEN now() ELSE run.ready_at END,
        takeovers = CASE
            WHEN run.takeover_entries = journal.progress THEN run.takeovers + 1
            WHEN journal.progress IS NULL OR $3 THEN run.takeovers
            ELSE 1
        END,
        takeover_entries = CASE
            WHEN journal.progress IS NULL OR $3 THEN run.takeover_entries
            ELSE journal.progress
        END,
        definition = CASE WHEN journal.present <= 1 THEN NULL ELSE run.definition END,
        version = CASE WHEN journal.present <= 1 THEN run.asked_version ELSE run.version END,
        needs = CASE WHEN journal.present <= 1 THEN run.start_needs ELSE run.needs END
    FROM measured AS journal
    WHERE run.id = journal.id
    RETURNING 1
)
SELECT count(*) FROM freed
