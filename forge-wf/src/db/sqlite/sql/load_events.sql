-- load_events: of run ?1 a page of the oldest events (kind 0) named ?2 that are not taken, and everything that asks to drop (7)
-- or replace (8) one of them, in order of arrival. The page has at most ?3 events, and ends behind the one that makes it ?4 bytes
-- long. The last column: with an event, how many the page was cut from; ?3 + 1 means that, or more.
--
-- Bodies are read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL, mail.retries, kept.there
FROM (
    SELECT no, there
    FROM (
        SELECT no, count(*) OVER () AS there,
            row_number() OVER (ORDER BY no) AS place,
            sum(bytes) OVER (ORDER BY no) - bytes AS bytes_before
        FROM (
            SELECT no, coalesce(octet_length(body), 0) AS bytes
            FROM forge_wf_inbox INDEXED BY forge_wf_inbox_named
            WHERE run_id = ?1 AND name = ?2 AND kind = 0 AND taken_at IS NULL
            ORDER BY no LIMIT ?3 + 1
        )
    )
    WHERE place <= ?3 AND bytes_before < ?4
    UNION ALL
    SELECT no, NULL FROM forge_wf_inbox INDEXED BY forge_wf_inbox_named
    WHERE run_id = ?1 AND name = ?2 AND kind IN (7, 8) AND taken_at IS NULL
) AS kept CROSS JOIN forge_wf_inbox AS mail
WHERE mail.no = kept.no
ORDER BY mail.no
