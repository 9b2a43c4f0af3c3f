-- notice_stray: marks as noticed, at ?1, what was sent to runs that have ended or do not exist, since nobody else will; and events of
-- runs that no event makes due (delayed, paused, blocked), since each claim would step over them until then: whatever begins such a
-- run later loads what it has not taken, noticed or not. At most 10,000 mails at a time: it is part of a takeover, which shall
-- not take long. `letter` hops through the index from one run that has un-noticed mail to the next.
WITH RECURSIVE letter (run_id) AS (
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed WHERE mail.noticed_at IS NULL
    )
    UNION ALL
    SELECT (
        SELECT min(mail.run_id) FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
    ) FROM letter WHERE letter.run_id IS NOT NULL
)
UPDATE forge_wf_inbox SET noticed_at = ?1 WHERE no IN (
    SELECT mail.no
    FROM letter CROSS JOIN forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed
    WHERE letter.run_id IS NOT NULL
      AND NOT EXISTS (
          SELECT 1 FROM forge_wf_runs AS run
          WHERE run.id = letter.run_id AND run.phase <> 2 AND NOT (
              run.phase IN (0, 1) AND run.state IN (0, 3, 4) AND run.worker_id IS NULL AND mail.kind IN (0, 7, 8)
          )
      )
      AND mail.run_id = letter.run_id AND mail.noticed_at IS NULL
    LIMIT 10000
)
