-- progress: how far the journals of runs $1 have come, in the order asked for: the number of entries of the present generation, of
-- those with a seq and of those undone, with the generation mixed in (see free_runs). Null for a run that does not exist. Only asked of
-- runs that were taken over, so that a claim reads no journal.
SELECT (
    SELECT (
        SELECT (
            count(*) + count(entry.seq) + count(*) FILTER (WHERE entry.undo_state >= 2) + run.generation::bigint * 1000003
        ) % 2147483648
        FROM forge_wf.journal AS entry WHERE entry.run_id = run.id AND entry.generation = run.generation
    )
    FROM forge_wf.runs AS run WHERE run.id = asked.run_id
)
FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (run_id, place)
ORDER BY asked.place
