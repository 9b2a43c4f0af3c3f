-- part_of_journal: some entries of generation $2 of run $1, to see whether they can be read.
SELECT key, args, output, failure, undo_args FROM forge_wf.journal WHERE run_id = $1 AND generation = $2 ORDER BY key, n LIMIT 3
