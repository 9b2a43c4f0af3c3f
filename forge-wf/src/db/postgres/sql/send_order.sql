-- send_order: as send_mail, and with the mail a line that says that $6 did $7 because of $8. Mail of this id that is there
-- already gets no second line. The command names the retries of the run, also if that ends before this commits.
WITH addressee AS MATERIALIZED (
    SELECT phase, state, coalesce(retries, 0) AS retries FROM forge_wf.runs WHERE id = $2
), sent AS (
    INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at, retries)
    SELECT $1, $2, $3, $4, $5, now(), addressee.retries FROM addressee WHERE addressee.phase <> 2
    ON CONFLICT (id) DO NOTHING
    RETURNING run_id
), told AS (
    INSERT INTO forge_wf.audit (at, run_id, who, action, details) SELECT now(), sent.run_id, $6, $7, $8 FROM sent
)
SELECT phase, state FROM addressee
