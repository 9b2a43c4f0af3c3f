-- 0001 runs: everything forge-wf keeps, for PostgreSQL 14 and newer.
--
-- Conventions, the same in every table:
-- - Ids and digests are uuid, times timestamptz, payloads JSON as text (jsonb renumbers floats, refuses \u0000 and costs
--   more to write). States are the frozen numbers of the code (`model/status.rs`, `journal/entry.rs`).
-- - Columns stand by alignment, widest first, so that rows hold no padding: what is written is what the log of the server
--   (WAL) has to carry to disk, and that is what limits throughput: a run of three steps with an input of 100 bytes writes
--   2.0 KB of it, the updates of lanes and the commits included. Rare columns are nullable and cost nothing.
-- - Text in an index is COLLATE "C": an update of the system's locale must not make an index wrong.
-- - No foreign keys to runs: a run's mail and journal are written without locking the run's row.
--
-- A program that runs workflows needs no rights beyond these. A person with the right to create schemas connects once (or
-- grants CREATE ON DATABASE for the time of an upgrade), then:
--
--     CREATE ROLE app LOGIN PASSWORD '..';
--     GRANT USAGE ON SCHEMA forge_wf TO app;
--     GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA forge_wf TO app;
--
-- One that only looks: USAGE on the schema and SELECT on all tables.

-- A run, narrow: its input and output are the `start` and `end` entries of its journal. Only its owner writes a row, or a
-- claim or takeover when nobody owns it.
--
-- What changes stands together, between what never does: an update within a page then logs only the middle.
CREATE TABLE forge_wf.runs (
    seed             bigint      NOT NULL,
    created_at       timestamptz NOT NULL,
    claim_no         bigint      NOT NULL DEFAULT 0,  -- the owner's claim it came by; 0: born claimed
    ready_at         timestamptz,                     -- null: only mail makes it due
    ended_at         timestamptz,
    deadline_at      timestamptz,
    generation       integer     NOT NULL DEFAULT 0,
    takeovers        integer     NOT NULL DEFAULT 0,  -- consecutive ones while executing, without progress
    takeover_entries integer     NOT NULL DEFAULT 0,  -- progress of the journal at the last of them (sql/free_runs.sql)
    phase            smallint    NOT NULL,
    state            smallint    NOT NULL,
    priority         smallint    NOT NULL,
    holds_key        boolean     NOT NULL DEFAULT false,  -- whether the key is taken by this run
    worker_id        uuid,                            -- the owner; null: nobody
    needs            uuid,                            -- what a worker must offer; null once ended
    definition       uuid,                            -- signature it is bound to; null while unbound
    version          text        COLLATE "C",         -- bound to, or asked for
    id               uuid        NOT NULL,
    start_needs      uuid        NOT NULL,            -- what `needs` falls back to when the run is unbound
    workflow         text        COLLATE "C" NOT NULL,
    asked_version    text        COLLATE "C",         -- what `version` falls back to when the run is unbound
    queue            text        COLLATE "C" NOT NULL,
    key              text        COLLATE "C",
    parent_id        uuid,
    parent_call      text,
    owner            text,
    trace_parent     text,
    tags             text,
    block_reason     text,
    blocked_build    text,
    failure          text,
    CONSTRAINT runs_pkey PRIMARY KEY (id)
) WITH (
    -- Room for the second version of a row beside the first, so that its update logs only what changed.
    fillfactor = 60,
    -- Every run leaves two or three dead versions, and claims walk over what they leave in the index of ready runs.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);

-- Indexes are few and partial, since every commit pays for each. This one is read by claims. Runs that only mail makes due
-- are not in it.
CREATE INDEX runs_ready ON forge_wf.runs (needs, priority DESC, ready_at)
    WHERE worker_id IS NULL AND state IN (0, 2) AND ready_at IS NOT NULL;
-- Without the claim number: a claim is answered by the statement that takes, so only one that is repeated walks all runs of
-- its worker.
CREATE INDEX runs_worker ON forge_wf.runs (worker_id) WHERE worker_id IS NOT NULL;
CREATE UNIQUE INDEX runs_key ON forge_wf.runs (workflow, key) WHERE holds_key;
-- Read when a worker registers: which blocked runs may its build try again.
CREATE INDEX runs_blocked ON forge_wf.runs (needs) WHERE state = 4;

-- One row for each operation of a run. That seq is unique within (run_id, generation) needs no index of its own: only the
-- owner writes here, behind its lane, and whoever loads a journal checks it.
CREATE TABLE forge_wf.journal (
    args_hash   bigint      NOT NULL,   -- the same 64 bits, read as signed
    at          timestamptz NOT NULL,
    run_id      uuid        NOT NULL,
    generation  integer     NOT NULL,
    n           integer     NOT NULL,   -- counts the calls of this key; the same 32 bits, read as signed
    seq         integer,                -- place in the order of deliveries; null for started and abandoned entries
    scope       integer     NOT NULL,
    attempts    integer     NOT NULL,
    kind        smallint    NOT NULL,
    state       smallint    NOT NULL,
    undo_state  smallint,
    key         text        COLLATE "C" NOT NULL,   -- starts with its kind, as in step:charge
    output      text,
    args        text,
    failure     text,
    due_at      timestamptz,
    undo_step   text,
    undo_digest uuid,
    undo_args   text,
    CONSTRAINT journal_pkey PRIMARY KEY (run_id, generation, key, n)
) WITH (
    -- Grows and is hardly ever changed, so it is looked at when much was added, for the sake of statistics and freezing.
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- What `save_state` published.
CREATE TABLE forge_wf.run_state (
    updated_at timestamptz NOT NULL,
    run_id     uuid        NOT NULL,
    key        text        COLLATE "C" NOT NULL,
    value      text        NOT NULL,
    CONSTRAINT run_state_pkey PRIMARY KEY (run_id, key)
) WITH (fillfactor = 80);

-- What others ask of a run's owner. `no` is the order of arrival, where times may be equal.
CREATE TABLE forge_wf.inbox (
    no         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    sent_at    timestamptz NOT NULL,
    noticed_at timestamptz,                -- null until a commit takes it into its run
    kind       smallint    NOT NULL,
    id         uuid        NOT NULL,
    run_id     uuid        NOT NULL,
    name       text        NOT NULL,
    body       text,
    CONSTRAINT inbox_pkey PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX inbox_unnoticed ON forge_wf.inbox (run_id) WHERE noticed_at IS NULL;

-- A worker process and its lease. Deleting the row takes everything below along, and with the lanes the right to write.
-- Few rows that change all the time: a page is left nearly empty, so that a new version always finds room beside the old
-- one, no index is touched and the dead versions go with the next visit.
CREATE TABLE forge_wf.workers (
    lease_until timestamptz NOT NULL,
    lease       interval    NOT NULL,
    started_at  timestamptz NOT NULL,
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    build       text        NOT NULL,
    CONSTRAINT workers_pkey PRIMARY KEY (id)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- Fence and de-duplicator: a write happens only in the statement that moves batch_no on.
CREATE TABLE forge_wf.lanes (
    batch_no  bigint   NOT NULL,
    worker_id uuid     NOT NULL,
    lane      smallint NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (worker_id, lane),
    CONSTRAINT lanes_worker FOREIGN KEY (worker_id) REFERENCES forge_wf.workers (id) ON DELETE CASCADE
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What a worker serves; read for people, to say what is missing.
CREATE TABLE forge_wf.definitions (
    worker_id uuid     NOT NULL,
    signature uuid     NOT NULL,
    algorithm smallint NOT NULL,
    workflow  text     COLLATE "C" NOT NULL,
    version   text     COLLATE "C" NOT NULL,
    CONSTRAINT definitions_pkey PRIMARY KEY (worker_id, workflow, version),
    CONSTRAINT definitions_worker FOREIGN KEY (worker_id) REFERENCES forge_wf.workers (id) ON DELETE CASCADE
);

-- What a worker can claim: its definitions, its steps that undo, and names for runs not bound yet.
CREATE TABLE forge_wf.offers (
    worker_id  uuid NOT NULL,
    needs      uuid NOT NULL,
    definition uuid NOT NULL,
    version    text COLLATE "C" NOT NULL,
    CONSTRAINT offers_pkey PRIMARY KEY (worker_id, needs),
    CONSTRAINT offers_worker FOREIGN KEY (worker_id) REFERENCES forge_wf.workers (id) ON DELETE CASCADE
);

-- Runs started by the calendar.
CREATE TABLE forge_wf.schedules (
    created_at  timestamptz NOT NULL,
    next_at     timestamptz,
    last_at     timestamptz,
    priority    smallint    NOT NULL DEFAULT 0,
    overlap     smallint    NOT NULL DEFAULT 0,
    paused      boolean     NOT NULL DEFAULT false,
    last_run_id uuid,
    name        text        COLLATE "C" NOT NULL,
    workflow    text        COLLATE "C" NOT NULL,
    version     text        COLLATE "C",
    cron        text        NOT NULL,
    time_zone   text        NOT NULL DEFAULT 'UTC',
    input       text        NOT NULL,
    queue       text        COLLATE "C" NOT NULL,
    CONSTRAINT schedules_pkey PRIMARY KEY (name)
);

-- What operators did, to which run and why.
CREATE TABLE forge_wf.audit (
    no      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL,
    run_id  uuid,
    who     text        NOT NULL,
    action  text        NOT NULL,
    details text,
    CONSTRAINT audit_pkey PRIMARY KEY (no)
);
