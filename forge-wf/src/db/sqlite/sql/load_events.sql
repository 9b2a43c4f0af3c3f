-- load_events: of run ?1 the oldest ?3 events (kind 0) named ?2 that are not taken, and everything that asks to drop (7) or
-- replace (8) one of them, in order of arrival.
SELECT no, id, run_id, kind, name, body, sent_at, noticed_at IS NOT NULL
FROM forge_wf_inbox
WHERE no IN (
    SELECT no FROM (
        SELECT no FROM forge_wf_inbox INDEXED BY forge_wf_inbox_named
        WHERE run_id = ?1 AND name = ?2 AND kind = 0 AND taken_at IS NULL
        ORDER BY no LIMIT ?3
    )
    UNION ALL
    SELECT no FROM forge_wf_inbox INDEXED BY forge_wf_inbox_named
    WHERE run_id = ?1 AND name = ?2 AND kind IN (7, 8) AND taken_at IS NULL
)
ORDER BY no
