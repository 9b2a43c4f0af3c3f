-- insert_mail: one row for each mail, in order of arrival; one that is there already stays as it is. Commands among them come from a
-- parent, and are for its child as it was begun: with 0 retries.
WITH mail (id, run_id, kind, name, body, sent_at) AS (VALUES {rows})
INSERT INTO forge_wf_inbox (id, run_id, kind, name, body, sent_at, retries)
SELECT id, run_id, kind, name, body, sent_at, iif(kind BETWEEN 0 AND 1 OR kind BETWEEN 7 AND 8, NULL, 0) FROM mail WHERE true
ON CONFLICT (id) DO NOTHING
