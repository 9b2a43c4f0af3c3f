-- 0002 waits: mail that a run keeps until a wait takes it.
--
-- An event may come long before the run waits for it. A turn notices it once, so that it no longer makes the run due, and
-- leaves it in the inbox; only the wait that completes with it takes it. Nothing kept mail for later before this, so of what
-- was noticed only events are still there to be taken.
ALTER TABLE forge_wf_inbox ADD COLUMN taken_at INTEGER;  -- null until a wait or the turn has used it up
UPDATE forge_wf_inbox SET taken_at = noticed_at WHERE noticed_at IS NOT NULL AND kind <> 0;

-- `no` is the rowid and so the last column of every index: mail of a run is in order of arrival in all of them.
-- Read when a run is claimed: what it has not used up, whatever it is.
CREATE INDEX forge_wf_inbox_untaken ON forge_wf_inbox (run_id) WHERE taken_at IS NULL;
-- Read by a wait: the events of one name, and apart from them what asks to drop or replace one, so that neither has to be
-- looked for among many of the other.
CREATE INDEX forge_wf_inbox_named ON forge_wf_inbox (run_id, name, kind) WHERE taken_at IS NULL;
