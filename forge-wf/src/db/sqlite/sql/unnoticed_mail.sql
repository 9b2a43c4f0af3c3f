-- unnoticed_mail: of the runs worker ?1 owns, in order of arrival. Un-noticed mail is
-- walked first, by its own index: it is rare, while noticed mail and runs are not.
SELECT mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at
FROM forge_wf_inbox AS mail INDEXED BY forge_wf_inbox_unnoticed CROSS JOIN forge_wf_runs AS run
WHERE mail.noticed_at IS NULL AND run.id = mail.run_id AND +run.worker_id = ?1
ORDER BY mail.no
