-- progress: how far the journals of runs $1 have come, in the order asked for: the number of entries, of those with a seq and of those
-- undone, of all generations (see free_runs). Only asked of runs that were taken over, so that a claim reads no journal.
SELECT (
    SELECT count(*) + count(entry.seq) + count(*) FILTER (WHERE entry.undo_state >= 2)
    FROM forge_wf.journal AS entry WHERE entry.run_id = asked.run_id
)
FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (run_id, place)
ORDER BY asked.place
