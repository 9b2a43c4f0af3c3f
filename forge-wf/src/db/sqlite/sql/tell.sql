-- tell: notes at ?1 that of run ?2 ?3 did ?4 because of ?5.
INSERT INTO forge_wf_audit (at, run_id, who, action, details) VALUES (?1, ?2, ?3, ?4, ?5)
