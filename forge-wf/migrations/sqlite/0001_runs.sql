-- 0001 runs: everything forge-wf keeps, for SQLite.
--
-- Conventions, the same in every table:
-- - `forge_wf_` in front of each name, because the file may hold the user's own tables.
-- - Ids and digests are BLOBs of 16 bytes, times INTEGER microseconds since 1970 UTC, payloads JSON as TEXT. States are
--   the frozen numbers of the code (`model/status.rs`, `journal/entry.rs`).
-- - STRICT, so a value of the wrong type is refused when it is written and not found when it is read.
-- - WITHOUT ROWID where the primary key is what rows are found by: one B-tree to write instead of two. Run ids are
--   UUIDs of version 7, so new rows land at the right edge of the tree.
-- - No foreign keys to runs: a run's mail and journal are written without looking at the run's row.

-- A run, narrow: its input and output are the `start` and `end` entries of its journal. Only its owner writes a row, or a
-- claim or takeover when nobody owns it.
CREATE TABLE forge_wf_runs (
    id               BLOB    NOT NULL PRIMARY KEY,
    generation       INTEGER NOT NULL DEFAULT 0,
    seed             INTEGER NOT NULL,
    workflow         TEXT    NOT NULL,
    version          TEXT,                        -- bound to, or asked for
    asked_version    TEXT,                        -- what `version` falls back to when the run is unbound
    definition       BLOB,                        -- signature it is bound to; null while unbound
    start_needs      BLOB    NOT NULL,            -- what `needs` falls back to when the run is unbound
    key              TEXT,
    holds_key        INTEGER NOT NULL DEFAULT 0,  -- whether the key is taken by this run
    phase            INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    needs            BLOB,                        -- what a worker must offer; null once ended
    queue            TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    ready_at         INTEGER,                     -- null: only mail makes it due
    worker_id        BLOB,                        -- the owner; null: nobody
    claim_no         INTEGER NOT NULL DEFAULT 0,  -- the owner's claim it came by; 0: born claimed
    takeovers        INTEGER NOT NULL DEFAULT 0,  -- consecutive ones while executing, without progress
    takeover_entries INTEGER NOT NULL DEFAULT 0,  -- progress of the journal at the last of them (sql/free_runs.sql)
    parent_id        BLOB,
    parent_call      TEXT,
    owner            TEXT,
    trace_parent     TEXT,
    tags             TEXT,
    deadline_at      INTEGER,
    block_reason     TEXT,
    blocked_build    TEXT,
    failure          TEXT,
    created_at       INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT, WITHOUT ROWID;

-- Indexes are few and partial, since every commit pays for each. This one is read by claims. Runs that only mail makes due
-- are not in it.
CREATE INDEX forge_wf_runs_ready ON forge_wf_runs (needs, priority DESC, ready_at)
    WHERE worker_id IS NULL AND state IN (0, 2) AND ready_at IS NOT NULL;
-- With the claim, since a claim is answered by what it took, not by all a worker owns.
CREATE INDEX forge_wf_runs_worker ON forge_wf_runs (worker_id, claim_no) WHERE worker_id IS NOT NULL;
CREATE UNIQUE INDEX forge_wf_runs_key ON forge_wf_runs (workflow, key) WHERE holds_key = 1;
-- Read when a worker registers: which blocked runs may its build try again.
CREATE INDEX forge_wf_runs_blocked ON forge_wf_runs (needs) WHERE state = 4;

-- One row for each operation of a run. That seq is unique within (run_id, generation) needs no index of its own: only the
-- owner writes here, behind its lane, and whoever loads a journal checks it.
CREATE TABLE forge_wf_journal (
    run_id      BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    key         TEXT    NOT NULL,   -- starts with its kind, as in step:charge
    n           INTEGER NOT NULL,   -- counts the calls of this key
    seq         INTEGER,            -- place in the order of deliveries; null for started and abandoned entries
    scope       INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    args_hash   INTEGER NOT NULL,   -- the same 64 bits, read as signed
    args        TEXT,
    output      TEXT,
    failure     TEXT,
    attempts    INTEGER NOT NULL,
    due_at      INTEGER,
    undo_step   TEXT,
    undo_digest BLOB,
    undo_args   TEXT,
    undo_state  INTEGER,
    at          INTEGER NOT NULL,
    PRIMARY KEY (run_id, generation, key, n)
) STRICT, WITHOUT ROWID;

-- What `save_state` published.
CREATE TABLE forge_wf_run_state (
    run_id     BLOB    NOT NULL,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, key)
) STRICT, WITHOUT ROWID;

-- What others ask of a run's owner. `no` is the order of arrival: there is one writer at a time, so it is exact where
-- times may be equal.
CREATE TABLE forge_wf_inbox (
    no         INTEGER NOT NULL PRIMARY KEY,
    id         BLOB    NOT NULL UNIQUE,
    run_id     BLOB    NOT NULL,
    kind       INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    body       TEXT,
    sent_at    INTEGER NOT NULL,
    noticed_at INTEGER             -- null until a commit takes it into its run
) STRICT;
CREATE INDEX forge_wf_inbox_unnoticed ON forge_wf_inbox (run_id) WHERE noticed_at IS NULL;

-- A worker process and its lease. Deleting the row takes everything below along, and with the lanes the right to write.
CREATE TABLE forge_wf_workers (
    id           BLOB    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    build        TEXT    NOT NULL,
    lease_micros INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL,
    started_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Fence and de-duplicator: a write happens only in the transaction that moves batch_no on.
CREATE TABLE forge_wf_lanes (
    worker_id BLOB    NOT NULL REFERENCES forge_wf_workers (id) ON DELETE CASCADE,
    lane      INTEGER NOT NULL,
    batch_no  INTEGER NOT NULL,
    PRIMARY KEY (worker_id, lane)
) STRICT, WITHOUT ROWID;

-- What a worker serves; read for people, to say what is missing.
CREATE TABLE forge_wf_definitions (
    worker_id BLOB    NOT NULL REFERENCES forge_wf_workers (id) ON DELETE CASCADE,
    workflow  TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    algorithm INTEGER NOT NULL,
    PRIMARY KEY (worker_id, workflow, version)
) STRICT, WITHOUT ROWID;

-- What a worker can claim: its definitions, its steps that undo, and names for runs not bound yet.
CREATE TABLE forge_wf_offers (
    worker_id  BLOB NOT NULL REFERENCES forge_wf_workers (id) ON DELETE CASCADE,
    needs      BLOB NOT NULL,
    definition BLOB NOT NULL,
    version    TEXT NOT NULL,
    PRIMARY KEY (worker_id, needs)
) STRICT, WITHOUT ROWID;

-- Runs started by the calendar.
CREATE TABLE forge_wf_schedules (
    name        TEXT    NOT NULL PRIMARY KEY,
    workflow    TEXT    NOT NULL,
    version     TEXT,
    cron        TEXT    NOT NULL,
    time_zone   TEXT    NOT NULL DEFAULT 'UTC',
    input       TEXT    NOT NULL,
    queue       TEXT    NOT NULL,
    priority    INTEGER NOT NULL DEFAULT 0,
    overlap     INTEGER NOT NULL DEFAULT 0,
    paused      INTEGER NOT NULL DEFAULT 0,
    next_at     INTEGER,
    last_at     INTEGER,
    last_run_id BLOB,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What operators did, to which run and why.
CREATE TABLE forge_wf_audit (
    no      INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    run_id  BLOB,
    who     TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    details TEXT
) STRICT;
