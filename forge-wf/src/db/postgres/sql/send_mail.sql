-- send_mail: one row for each mail, in order of arrival; one that is there already stays as it is.
INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at)
SELECT mail.id, mail.run_id, mail.kind, mail.name, mail.body, now()
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[])
    WITH ORDINALITY AS mail (id, run_id, kind, name, body, place)
ORDER BY mail.place
ON CONFLICT (id) DO NOTHING
