-- 0002 waits: mail that a run keeps until a wait takes it.
--
-- An event may come long before the run waits for it. A turn notices it once, so that it no longer makes the run due, and
-- leaves it in the inbox; only the wait that completes with it takes it. Nothing kept mail for later before this, so of what
-- was noticed only events are still there to be taken.
ALTER TABLE forge_wf.inbox ADD COLUMN taken_at timestamptz;  -- null until a wait or the turn has used it up
UPDATE forge_wf.inbox SET taken_at = noticed_at WHERE noticed_at IS NOT NULL AND kind <> 0;

-- Text in an index is COLLATE "C"; a table of another collation of the same text need not be rewritten.
ALTER TABLE forge_wf.inbox ALTER COLUMN name TYPE text COLLATE "C";

-- In order of arrival, so that the oldest of a flood are read without the rest.
DROP INDEX forge_wf.inbox_unnoticed;
CREATE INDEX inbox_unnoticed ON forge_wf.inbox (run_id, no) WHERE noticed_at IS NULL;
-- Read when a run is claimed: what it has not used up, whatever it is. Every `no` is above 0; saying so keeps this index for
-- statements that say so too, since the planner would also look for one name among all the mail of a run.
CREATE INDEX inbox_untaken ON forge_wf.inbox (run_id, no) WHERE taken_at IS NULL AND no > 0;
-- Read by a wait: the events of one name, and apart from them what asks to drop or replace one, so that neither has to be
-- looked for among many of the other.
CREATE INDEX inbox_named ON forge_wf.inbox (run_id, name, kind, no) WHERE taken_at IS NULL AND kind IN (0, 7, 8);
