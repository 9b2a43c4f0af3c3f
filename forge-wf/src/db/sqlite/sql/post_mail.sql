-- post_mail: puts mail ?1 of kind ?3, name ?4 and body ?5 into the inbox of run ?2 at ?6, unless the run has ended or does not
-- exist. A row comes back if it did; mail of this id that is there already stays as it is.
INSERT INTO forge_wf_inbox (id, run_id, kind, name, body, sent_at)
SELECT ?1, run.id, ?3, ?4, ?5, ?6 FROM forge_wf_runs AS run WHERE run.id = ?2 AND run.phase <> 2
ON CONFLICT (id) DO NOTHING
RETURNING 1
