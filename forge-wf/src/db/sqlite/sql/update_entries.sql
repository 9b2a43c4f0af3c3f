-- update_entries: replaces entries as a whole; one that has a seq keeps its outcome, and only its undo columns change.
WITH new (
    run_id, generation, key, n, seq, scope, kind, state, args_hash, args,
    output, failure, attempts, due_at, undo_step, undo_digest, undo_args, undo_state, at
) AS (VALUES {rows})
UPDATE forge_wf_journal AS old SET
    seq = coalesce(old.seq, new.seq),
    scope = iif(old.seq IS NULL, new.scope, old.scope),
    kind = iif(old.seq IS NULL, new.kind, old.kind),
    state = iif(old.seq IS NULL, new.state, old.state),
    args_hash = iif(old.seq IS NULL, new.args_hash, old.args_hash),
    args = iif(old.seq IS NULL, new.args, old.args),
    output = iif(old.seq IS NULL, new.output, old.output),
    failure = iif(old.seq IS NULL, new.failure, old.failure),
    attempts = iif(old.seq IS NULL, new.attempts, old.attempts),
    due_at = iif(old.seq IS NULL, new.due_at, old.due_at),
    at = iif(old.seq IS NULL, new.at, old.at),
    undo_step = new.undo_step,
    undo_digest = new.undo_digest,
    undo_args = new.undo_args,
    undo_state = new.undo_state
FROM new
WHERE old.run_id = new.run_id AND old.generation = new.generation AND old.key = new.key AND old.n = new.n
