-- answer: whether the fence moved, which runs were updated, and of which runs no part was written. An outcome without a row would be a step run twice, so
-- it fails the statement: the words that are no number are the message.
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT id FROM updated), ARRAY(SELECT id FROM guard WHERE NOT is_ours AND id = by),
    CASE WHEN (SELECT count(*) FROM outcomes) <> expected.count
        THEN CAST(expected.count || ' entries have an outcome, ' || (SELECT count(*) FROM outcomes) || ' of them have a row' AS int)
    END
FROM (
    SELECT count(*) FROM unnest($67::uuid[]) AS asked (run_id)
    WHERE asked.run_id = ANY (ARRAY(SELECT guard.id FROM guard WHERE guard.is_ours))
) AS expected
