-- progress: how far the journal of run ?1 has come: the number of entries of the present generation, of those with a seq and of those
-- undone, with the generation mixed in (see free_runs). Only asked of runs that were taken over, so that a claim reads no journal.
SELECT (
    SELECT count(*) + count(entry.seq) + count(iif(entry.undo_state >= 2, 1, NULL)) + run.generation * 1000003
    FROM forge_wf_journal AS entry WHERE entry.run_id = run.id AND entry.generation = run.generation
)
FROM forge_wf_runs AS run WHERE run.id = ?1
