-- 0006 signatures: which version of which workflow a signature is that a run may be bound to, and by which algorithm it was computed.
--
-- What a worker says of its definitions goes with the worker; this stays, so that a later build knows whose runs it finds. Few rows,
-- written when a worker registers.
CREATE TABLE forge_wf.signatures (
    signature uuid     NOT NULL,
    algorithm smallint NOT NULL,
    workflow  text     COLLATE "C" NOT NULL,
    version   text     COLLATE "C" NOT NULL,
    CONSTRAINT signatures_pkey PRIMARY KEY (workflow, version, signature)
);

-- There was one algorithm so far.
INSERT INTO forge_wf.signatures (signature, algorithm, workflow, version)
SELECT DISTINCT definition, 1::smallint, workflow, version FROM forge_wf.runs
WHERE definition IS NOT NULL AND version IS NOT NULL AND phase < 2
UNION
SELECT signature, algorithm, workflow, version FROM forge_wf.definitions
ON CONFLICT DO NOTHING;
