-- 0007 bad days: what failovers, floods and commands at the edge of a run's life need.

-- Renewals of the lease, counted by the worker. An earlier number than the worker was told of means that the database went back.
ALTER TABLE forge_wf_workers ADD COLUMN renewals INTEGER NOT NULL DEFAULT 0;

-- A command is for the run as it is when the command is given. `continue_as_new` changes nothing about that; a retry of the ended run
-- does. So a run counts its retries, and a command names the number: after another retry it is void.
ALTER TABLE forge_wf_runs ADD COLUMN retries INTEGER;   -- how often it was retried after its end; null: never
ALTER TABLE forge_wf_inbox ADD COLUMN retries INTEGER;  -- of a command: the retries of its run when it was given; null: any
UPDATE forge_wf_inbox SET retries = 0 WHERE taken_at IS NULL AND kind NOT IN (0, 1, 7, 8);

-- Runs that workers may have died of, by their owner: if one of them was executed, the others of that worker are not counted as taken
-- over. Hardly any run is in it.
CREATE INDEX forge_wf_runs_suspects ON forge_wf_runs (worker_id) WHERE takeovers >= 2 AND worker_id IS NOT NULL;

-- Read when a run is claimed: commands and answers of children that are not used up, wherever they stand among events. A worker may
-- have noticed them and died before it could do more.
CREATE INDEX forge_wf_inbox_unanswered ON forge_wf_inbox (run_id, no)
    WHERE taken_at IS NULL AND kind <> 0 AND kind NOT BETWEEN 7 AND 8;

-- Runs that a newer build has written, in a phase or state that this one does not know. Hardly any run is in it.
CREATE INDEX forge_wf_runs_unknown ON forge_wf_runs (id)
    WHERE phase NOT BETWEEN 0 AND 2 OR state NOT BETWEEN 0 AND 15 OR state BETWEEN 5 AND 9;

-- The same commands as before. The conditions of indexes hold comparisons, no lists: SQLite makes a list of three or more a table of
-- its own, anew for each row that is written.
DROP INDEX forge_wf_inbox_orders;
CREATE INDEX forge_wf_inbox_orders ON forge_wf_inbox (run_id, no)
    WHERE noticed_at IS NULL AND kind NOT BETWEEN 0 AND 1 AND kind NOT BETWEEN 7 AND 8;
