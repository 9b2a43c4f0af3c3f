-- load_events: of run $1 the oldest $3 events (kind 0) named $2 that are not taken, and everything that asks to drop (7) or
-- replace (8) one of them, in order of arrival.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL
FROM (
    (
        SELECT * FROM forge_wf.inbox
        WHERE run_id = $1 AND name = $2 AND kind = 0 AND taken_at IS NULL
        ORDER BY no LIMIT $3
    )
    UNION ALL
    SELECT * FROM forge_wf.inbox WHERE run_id = $1 AND name = $2 AND kind = 7 AND taken_at IS NULL
    UNION ALL
    SELECT * FROM forge_wf.inbox WHERE run_id = $1 AND name = $2 AND kind = 8 AND taken_at IS NULL
) AS mail
ORDER BY mail.no
