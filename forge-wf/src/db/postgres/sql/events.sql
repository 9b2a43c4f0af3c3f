-- events: of run $1 the oldest $2 mails that are or are about events and that no wait has taken, in order of arrival.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL, mail.retries
FROM forge_wf.inbox AS mail
WHERE mail.run_id = $1 AND mail.taken_at IS NULL AND mail.no > 0 AND mail.kind IN (0, 7, 8)
ORDER BY mail.no LIMIT $2
