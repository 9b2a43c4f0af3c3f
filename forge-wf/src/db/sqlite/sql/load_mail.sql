-- load_mail: of run ?1 the oldest ?2 mails that are not taken and the oldest ?2 of kinds up to ?3 that are not noticed, in
-- order of arrival. What made a run due is un-noticed and of a kind this build can read, and may stand behind thousands of
-- events that nobody took.
SELECT no, id, run_id, kind, name, body, sent_at, noticed_at IS NOT NULL
FROM forge_wf_inbox
WHERE no IN (
    SELECT no FROM (
        SELECT no FROM forge_wf_inbox INDEXED BY forge_wf_inbox_untaken
        WHERE run_id = ?1 AND taken_at IS NULL
        ORDER BY no LIMIT ?2
    )
    UNION
    SELECT no FROM (
        SELECT no FROM forge_wf_inbox INDEXED BY forge_wf_inbox_unnoticed
        WHERE run_id = ?1 AND noticed_at IS NULL AND kind BETWEEN 0 AND ?3
        ORDER BY no LIMIT ?2
    )
)
ORDER BY no
