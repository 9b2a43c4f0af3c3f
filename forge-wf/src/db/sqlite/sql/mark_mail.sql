-- mark_mail: marks mail as noticed, and where asked for as taken; the last two parameters are the time. Marks are only added.
WITH mark (id, taken) AS (VALUES {rows})
UPDATE forge_wf_inbox AS mail SET
    noticed_at = coalesce(mail.noticed_at, ?),
    taken_at = iif(mark.taken, coalesce(mail.taken_at, ?), mail.taken_at)
FROM mark
WHERE mail.id = mark.id AND (+mail.noticed_at IS NULL OR (mark.taken AND +mail.taken_at IS NULL))
