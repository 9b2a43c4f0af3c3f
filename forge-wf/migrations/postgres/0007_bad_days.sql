-- 0007 bad days: what it takes to notice a database that lost commits.

-- Renewals of the lease, counted by the worker. An earlier number than the worker was told of means that the database went back.
ALTER TABLE forge_wf.workers ADD COLUMN renewals bigint NOT NULL DEFAULT 0;
