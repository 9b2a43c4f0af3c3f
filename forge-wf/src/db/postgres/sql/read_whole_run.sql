-- read_whole_run: reads generation $2 of the journal of run $1, and its mail that is not taken; answers with their length only. To see
-- whether they can be read.
SELECT
    (
        SELECT sum(
            coalesce(length(entry.output), 0) + coalesce(length(entry.args), 0) + coalesce(length(entry.failure), 0)
            + coalesce(length(entry.undo_args), 0)
        )
        FROM forge_wf.journal AS entry WHERE entry.run_id = $1 AND entry.generation = $2
    ),
    (
        SELECT sum(coalesce(length(mail.body), 0))
        FROM forge_wf.inbox AS mail WHERE mail.run_id = $1 AND mail.taken_at IS NULL AND mail.no > 0
    )
