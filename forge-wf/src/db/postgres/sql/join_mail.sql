-- join_mail: as send_mail, on a connection of the user's. The hint is part of the statement, so that it goes out when the
-- user's transaction commits, and not at all if that is undone. It names no sender: every worker shall hear it.
WITH addressee AS MATERIALIZED (
    SELECT phase, state FROM forge_wf.runs WHERE id = $2
), sent AS (
    INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at)
    SELECT $1, $2, $3, $4, $5, now() FROM addressee WHERE addressee.phase <> 2
    ON CONFLICT (id) DO NOTHING
    RETURNING 1
)
SELECT phase, state, (SELECT pg_notify('forge_wf', '') FROM sent) FROM addressee
