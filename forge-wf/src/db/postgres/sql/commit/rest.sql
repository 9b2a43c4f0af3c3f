-- rest: outcomes of entries that have a row, mail taken and sent, values published. An entry that has a seq keeps its
-- outcome, and only its undo columns change.
, outcomes AS (
    UPDATE forge_wf.journal AS old SET
        seq = coalesce(old.seq, new.seq),
        scope = CASE WHEN old.seq IS NULL THEN new.scope ELSE old.scope END,
        kind = CASE WHEN old.seq IS NULL THEN new.kind ELSE old.kind END,
        state = CASE WHEN old.seq IS NULL THEN new.state ELSE old.state END,
        args_hash = CASE WHEN old.seq IS NULL THEN new.args_hash ELSE old.args_hash END,
        args = CASE WHEN old.seq IS NULL THEN new.args ELSE old.args END,
        output = CASE WHEN old.seq IS NULL THEN new.output ELSE old.output END,
        failure = CASE WHEN old.seq IS NULL THEN new.failure ELSE old.failure END,
        attempts = CASE WHEN old.seq IS NULL THEN new.attempts ELSE old.attempts END,
        due_at = CASE WHEN old.seq IS NULL THEN new.due_at ELSE old.due_at END,
        at = CASE WHEN old.seq IS NULL THEN new.at ELSE old.at END,
        undo_step = new.undo_step,
        undo_digest = new.undo_digest,
        undo_args = new.undo_args,
        undo_state = new.undo_state
    FROM fence, (
        SELECT
            unnest($62::uuid[]) AS run_id, unnest($63::int[]) AS generation, unnest($64::text[]) AS key,
            unnest($65::int[]) AS n, unnest($66::int[]) AS seq, unnest($67::int[]) AS scope,
            unnest($68::smallint[]) AS kind, unnest($69::smallint[]) AS state, unnest($70::bigint[]) AS args_hash,
            unnest($71::text[]) AS args, unnest($72::text[]) AS output, unnest($73::text[]) AS failure,
            unnest($74::int[]) AS attempts, unnest($75::timestamptz[]) AS due_at, unnest($76::text[]) AS undo_step,
            unnest($77::uuid[]) AS undo_digest, unnest($78::text[]) AS undo_args,
            unnest($79::smallint[]) AS undo_state, unnest($80::timestamptz[]) AS at
    ) AS new
    WHERE old.run_id = new.run_id AND old.generation = new.generation AND old.key = new.key COLLATE "C" AND old.n = new.n
    RETURNING 1
), taken AS (
    UPDATE forge_wf.inbox SET noticed_at = now() FROM fence WHERE id = ANY ($81::uuid[]) AND noticed_at IS NULL
), sent AS (
    INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at)
    SELECT mail.id, mail.run_id, mail.kind, mail.name, mail.body, now()
    FROM fence, unnest($82::uuid[], $83::uuid[], $84::smallint[], $85::text[], $86::text[])
        WITH ORDINALITY AS mail (id, run_id, kind, name, body, place)
    ORDER BY mail.place
    ON CONFLICT (id) DO NOTHING
), states AS (
    INSERT INTO forge_wf.run_state (run_id, key, value, updated_at)
    SELECT saved.run_id, saved.key, saved.value, now()
    FROM fence, unnest($87::uuid[], $88::text[], $89::text[]) AS saved (run_id, key, value)
    ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
)
