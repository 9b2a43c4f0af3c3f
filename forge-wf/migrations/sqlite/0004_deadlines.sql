-- 0004 deadlines: runs that have one, to find those that are late while nobody executes them: blocked, paused, or unserved.
--
-- A run without a deadline is not in it, and costs nothing.
CREATE INDEX forge_wf_runs_deadline ON forge_wf_runs (deadline_at) WHERE deadline_at IS NOT NULL AND phase = 0;
