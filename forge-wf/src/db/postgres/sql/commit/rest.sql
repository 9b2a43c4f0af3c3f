-- rest: outcomes of entries that have a row, marks on mail, mail sent, values published. Commands among the mail come from a parent,
-- and are for its child as it was begun: with 0 retries. An entry that has a seq keeps its
-- outcome, and only its undo columns change. Rows are found by their ids, as in updates.
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
            unnest($69::uuid[]) AS run_id, unnest($70::int[]) AS generation, unnest($71::text[]) AS key,
            unnest($72::int[]) AS n, unnest($73::int[]) AS seq, unnest($74::int[]) AS scope,
            unnest($75::smallint[]) AS kind, unnest($76::smallint[]) AS state, unnest($77::bigint[]) AS args_hash,
            unnest($78::text[]) AS args, unnest($79::text[]) AS output, unnest($80::text[]) AS failure,
            unnest($81::int[]) AS attempts, unnest($82::timestamptz[]) AS due_at, unnest($83::text[]) AS undo_step,
            unnest($84::uuid[]) AS undo_digest, unnest($85::text[]) AS undo_args,
            unnest($86::smallint[]) AS undo_state, unnest($87::timestamptz[]) AS at
    ) AS new
    WHERE old.run_id = ANY (ARRAY[new.run_id]) AND old.generation = new.generation AND old.key = new.key COLLATE "C" AND old.n = new.n
      AND new.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
    RETURNING 1
), marked AS (
    UPDATE forge_wf.inbox AS mail SET
        noticed_at = coalesce(mail.noticed_at, now()),
        taken_at = CASE WHEN mark.taken THEN coalesce(mail.taken_at, now()) ELSE mail.taken_at END
    FROM fence, (SELECT unnest($88::uuid[]) AS id, unnest($89::bool[]) AS taken) AS mark
    WHERE mail.id = ANY (ARRAY[mark.id]) AND mail.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
      AND (mail.noticed_at IS NULL OR (mark.taken AND mail.taken_at IS NULL))
), sent AS (
    INSERT INTO forge_wf.inbox (id, run_id, kind, name, body, sent_at, retries)
    SELECT mail.id, mail.run_id, mail.kind, mail.name, mail.body, now(), CASE WHEN mail.kind NOT IN (0, 1, 7, 8) THEN 0 END
    FROM fence, unnest($90::uuid[], $91::uuid[], $92::smallint[], $93::text[], $94::text[], $95::uuid[])
        WITH ORDINALITY AS mail (id, run_id, kind, name, body, by, place)
    WHERE mail.by <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
    ORDER BY mail.place
    ON CONFLICT (id) DO NOTHING
), states AS (
    INSERT INTO forge_wf.run_state (run_id, key, value, updated_at)
    SELECT saved.run_id, saved.key, saved.value, now()
    FROM fence, unnest($96::uuid[], $97::text[], $98::text[]) AS saved (run_id, key, value)
    WHERE saved.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
    ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
)
