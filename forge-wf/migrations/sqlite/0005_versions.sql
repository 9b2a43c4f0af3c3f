-- 0005 versions: what each version of a workflow is for, as its workers say: 0 it takes new runs, 1 it only goes on with those it has,
-- 2 it takes those that ask for it.
ALTER TABLE forge_wf_definitions ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
