-- notice_stray: marks as noticed what was sent to runs that have ended or do not exist, since nobody else will; and events of runs
-- that no event makes due (delayed, paused, blocked), since each claim would step over them until then: whatever begins such a run
-- later loads what it has not taken, noticed or not. At most 10,000 mails at a time: it is part of a takeover, which shall not
-- take long.
--
-- `letter` hops through the index from one run that has un-noticed mail to the next. SKIP LOCKED: somebody else marks it. Mail is
-- marked by one snapshot, in which nobody owns the run: who claims it after that loads what is marked here.
WITH RECURSIVE letter (run_id) AS (
    (SELECT mail.run_id FROM forge_wf.inbox AS mail WHERE mail.noticed_at IS NULL ORDER BY mail.run_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT mail.run_id FROM forge_wf.inbox AS mail
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
        ORDER BY mail.run_id LIMIT 1
    ) FROM letter WHERE letter.run_id IS NOT NULL
), stray AS MATERIALIZED (
    SELECT locked.id
    FROM letter LEFT JOIN forge_wf.runs AS run ON run.id = letter.run_id, LATERAL (
        SELECT mail.id, mail.kind FROM forge_wf.inbox AS mail
        WHERE mail.run_id = letter.run_id AND mail.noticed_at IS NULL
        ORDER BY mail.no FOR UPDATE SKIP LOCKED
    ) AS locked
    WHERE run.id IS NULL OR run.phase = 2
        OR run.phase IN (0, 1) AND run.state IN (0, 3, 4) AND run.worker_id IS NULL AND locked.kind IN (0, 7, 8)
    LIMIT 10000
)
UPDATE forge_wf.inbox AS mail SET noticed_at = now() FROM stray WHERE mail.id = stray.id
