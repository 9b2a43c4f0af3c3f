-- post_mail: puts mail ?1 of kind ?3, name ?4 and body ?5 into the inbox of run ?2 at ?6, unless the run has ended or does not
-- exist. A row comes back if it did; mail of this id that is there already stays as it is.
-- A command names the retries of the run; what is an event, about one, or an answer (kinds 0, 1, 7 and 8) does not.
INSERT INTO forge_wf_inbox (id, run_id, kind, name, body, sent_at, retries)
SELECT ?1, run.id, ?3, ?4, ?5, ?6, iif(?3 IN (0, 1, 7, 8), NULL, coalesce(run.retries, 0)) FROM forge_wf_runs AS run WHERE run.id = ?2 AND run.phase <> 2
ON CONFLICT (id) DO NOTHING
RETURNING 1
