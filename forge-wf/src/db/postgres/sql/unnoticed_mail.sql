-- unnoticed_mail: of the runs worker $1 owns, in order of arrival. Mail is walked first (IS NOT DISTINCT FROM keeps the
-- planner off the index of workers): un-noticed mail is rare, runs are not.
SELECT mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at
FROM forge_wf.inbox AS mail JOIN forge_wf.runs AS run ON run.id = mail.run_id
WHERE mail.noticed_at IS NULL AND run.worker_id IS NOT DISTINCT FROM $1
ORDER BY mail.no
