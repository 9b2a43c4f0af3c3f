-- runs_with_mail: those of the runs ?1 (a JSON array of their ids in hexadecimal digits) that have mail nobody has noticed, of kinds
-- up to ?2, which this build can read.
--
-- `wanted` makes each id bytes again, so that each is looked up in the index; a flood is read up to its first mail.
WITH wanted (run_id) AS (SELECT unhex(value) FROM json_each(?1))
SELECT wanted.run_id FROM wanted
WHERE EXISTS (
    SELECT 1 FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
    WHERE mail.run_id = wanted.run_id AND mail.noticed_at IS NULL AND mail.kind BETWEEN 0 AND ?2
)
