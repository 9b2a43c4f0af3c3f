-- free_runs: makes ready, at ?1, up to ?3 runs of worker ?2, which is gone, but none of ?8 (JSON: ids in hex); only run ?5, unless that
-- is null; runs that were taken over twice or more (?6), or the others.
--
-- Progress is the number of entries of the present generation, of those with a seq and of those undone: it grows with a new entry and
-- with an outcome. The generation is mixed in, so a new generation is progress, and older generations are not read. A takeover that
-- finds it unchanged followed one without progress. Only executing runs (state 1) are counted; if the worker was executing a suspect
-- (?4), then of these only suspects, since they are the likely cause; none if the worker lives (?7 is false). The progress of other
-- runs is not counted. A run whose present journal holds only `start` is unbound; two entries are enough to know.
-- INDEXED BY, lest the planner walk all runs there ever were.
WITH journal AS MATERIALIZED (
    SELECT orphan.id AS id,
        (
            SELECT count(*) FROM (
                SELECT 1 FROM forge_wf_journal AS entry
                WHERE entry.run_id = orphan.id AND entry.generation = orphan.generation LIMIT 2
            )
        ) AS present,
        iif(
            orphan.state = 1 AND ?7 AND (?6 OR NOT ?4),
            (
                SELECT count(*) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL)) + orphan.generation * 1000003
                FROM forge_wf_journal AS entry WHERE entry.run_id = orphan.id AND entry.generation = orphan.generation
            ),
            NULL
        ) AS progress
    FROM (
        SELECT id, generation, state FROM forge_wf_runs INDEXED BY forge_wf_runs_worker
        WHERE worker_id = ?2 AND worker_id IS NOT NULL AND (takeovers >= 2) = ?6 AND (?5 IS NULL OR id = ?5)
          AND (?8 = '[]' OR id NOT IN (SELECT unhex(value) FROM json_each(?8)))
        LIMIT ?3
    ) AS orphan
)
UPDATE forge_wf_runs AS run SET
    worker_id = NULL,
    state = iif(run.state IN (0, 1, 2), 0, run.state),
    ready_at = iif(run.state IN (0, 1, 2), ?1, run.ready_at),
    takeovers = CASE
        WHEN run.takeover_entries = journal.progress THEN run.takeovers + 1
        WHEN journal.progress IS NULL OR ?4 THEN run.takeovers
        ELSE 1
    END,
    takeover_entries = iif(journal.progress IS NULL OR ?4, run.takeover_entries, journal.progress),
    definition = iif(journal.present <= 1, NULL, run.definition),
    version = iif(journal.present <= 1, run.asked_version, run.version),
    needs = iif(journal.present <= 1, run.start_needs, run.needs)
FROM journal
WHERE run.id = journal.id
