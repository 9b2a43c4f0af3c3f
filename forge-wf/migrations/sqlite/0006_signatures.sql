-- 0006 signatures: which version of which workflow a signature is that a run may be bound to, and by which algorithm it was computed.
--
-- What a worker says of its definitions goes with the worker; this stays, so that a later build knows whose runs it finds. Few rows,
-- written when a worker registers.
CREATE TABLE forge_wf_signatures (
    workflow  TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    algorithm INTEGER NOT NULL,
    PRIMARY KEY (workflow, version, signature)
) WITHOUT ROWID;

-- There was one algorithm so far.
INSERT OR IGNORE INTO forge_wf_signatures (workflow, version, signature, algorithm)
SELECT DISTINCT workflow, version, definition, 1 FROM forge_wf_runs
WHERE definition IS NOT NULL AND version IS NOT NULL AND phase < 2
UNION
SELECT workflow, version, signature, algorithm FROM forge_wf_definitions;
