-- load_mail: of each run of $1 the oldest $2 mails that are not taken and the oldest $2 of kinds up to $3 that are not
-- noticed, runs in the order asked for. What made a run due is un-noticed and of a kind this build can read, and may stand
-- behind thousands of events that nobody took.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL, asked.place
FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (run_id, place), LATERAL (
    (
        SELECT * FROM forge_wf.inbox AS untaken
        WHERE untaken.run_id = asked.run_id AND untaken.taken_at IS NULL AND untaken.no > 0
        ORDER BY untaken.no LIMIT $2
    )
    UNION
    (
        SELECT * FROM forge_wf.inbox AS unnoticed
        WHERE unnoticed.run_id = asked.run_id AND unnoticed.noticed_at IS NULL AND unnoticed.kind BETWEEN 0 AND $3
        ORDER BY unnoticed.no LIMIT $2
    )
) AS mail
ORDER BY asked.place, mail.no
