-- send_mail: puts mail $1 of kind $3, name $4 and body $5 into the inbox of run $2, unless the run has ended. Answers with the
-- run's phase and state; no row: there is no such run. Mail of this id that is there already stays as it is. A command names the
-- retries of the run; what is an event, about one, or an answer (kinds 0, 1, 7 and 8) does not.
WITH addressee AS MATERIALIZED (
    SELECT phase, state, coalesce(retries, 0) AS retries FROM forge_wf.runs WHERE id = $2
), sent AS (
    INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at, retries)
    SELECT $1, $2, $3, $4, $5, now(), CASE WHEN $3 NOT IN (0, 1, 7, 8) THEN addressee.retries END
    FROM addressee WHERE addressee.phase <> 2
    ON CONFLICT (id) DO NOTHING
)
SELECT phase, state FROM addressee
