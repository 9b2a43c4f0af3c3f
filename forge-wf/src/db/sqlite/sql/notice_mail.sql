-- notice_mail: marks mail as taken into its run; the last parameter is the time.
WITH taken (id) AS (VALUES {rows})
UPDATE forge_wf_inbox SET noticed_at = ? WHERE id IN (SELECT id FROM taken) AND +noticed_at IS NULL
