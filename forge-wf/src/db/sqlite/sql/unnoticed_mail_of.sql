-- unnoticed_mail_of: of run ?1 a page of the oldest mails that are not noticed, in order of arrival. A page has at most ?2 mails, and
-- ends behind the one that makes it ?3 bytes long. Only of kinds up to ?4, which this build can read.
--
-- Bodies are read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, 0, mail.retries
FROM (
    SELECT no, sum(bytes) OVER (ORDER BY no) - bytes AS bytes_before
    FROM (
        SELECT no, coalesce(octet_length(body), 0) AS bytes
        FROM forge_wf_inbox INDEXED BY forge_wf_inbox_unnoticed
        WHERE run_id = ?1 AND noticed_at IS NULL AND kind BETWEEN 0 AND ?4
        ORDER BY no LIMIT ?2
    )
) AS kept CROSS JOIN forge_wf_inbox AS mail
WHERE mail.no = kept.no AND kept.bytes_before < ?3
ORDER BY mail.no
