-- events: of run ?1 the oldest ?2 mails that are or are about events and that no wait has taken, in order of arrival.
SELECT no, id, run_id, kind, name, body, sent_at, noticed_at IS NOT NULL, retries
FROM forge_wf_inbox INDEXED BY forge_wf_inbox_untaken
WHERE run_id = ?1 AND taken_at IS NULL AND kind IN (0, 7, 8)
ORDER BY no LIMIT ?2
