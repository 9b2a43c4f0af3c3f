-- insert_mail: one row for each mail, in order of arrival; one that is there already stays as it is.
INSERT INTO forge_wf_inbox (id, run_id, kind, name, body, sent_at) VALUES {rows} ON CONFLICT (id) DO NOTHING
