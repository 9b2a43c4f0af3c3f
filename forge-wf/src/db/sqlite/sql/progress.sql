-- progress: how far the journal of run ?1 has come: the number of entries, of those with a seq and of those undone, of all generations
-- (see free_runs). Only asked of runs that were taken over, so that a claim reads no journal.
SELECT count(*) + count(seq) + count(iif(undo_state >= 2, 1, NULL)) FROM forge_wf_journal WHERE run_id = ?1
