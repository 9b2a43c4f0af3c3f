-- 0003 orders: mail that makes a run due whatever state it is in: to be cancelled, paused, resumed, killed, tried again.
--
-- Few rows at any time, and none for a run that nobody interferes with. Without this index an order behind a flood of events
-- would have to be looked for among them.
CREATE INDEX inbox_orders ON forge_wf.inbox (run_id, no) WHERE noticed_at IS NULL AND kind NOT IN (0, 1, 7, 8);
-- Read for one run at a time.
CREATE INDEX audit_run ON forge_wf.audit (run_id, no);
