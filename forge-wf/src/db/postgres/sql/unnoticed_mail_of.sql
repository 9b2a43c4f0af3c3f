-- unnoticed_mail_of: of run $1 a page of the oldest mails that are not noticed, in order of arrival. A page has at most $2 mails, and
-- ends behind the one that makes it $3 bytes long. Only of kinds up to $4, which this build can read.
--
-- Bodies are read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, false, mail.retries
FROM (
    SELECT unnoticed.id, sum(unnoticed.bytes) OVER (ORDER BY unnoticed.no) - unnoticed.bytes AS bytes_before
    FROM (
        SELECT oldest.id, oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
        FROM forge_wf.inbox AS oldest
        WHERE oldest.run_id = $1 AND oldest.noticed_at IS NULL AND oldest.kind BETWEEN 0 AND $4
        ORDER BY oldest.no LIMIT $2
    ) AS unnoticed
) AS kept JOIN forge_wf.inbox AS mail ON mail.id = kept.id
WHERE kept.bytes_before < $3
ORDER BY mail.no
