-- answer: whether the fence moved, and which runs were not ours. An outcome without a row would be a step run twice, so it fails
-- the statement: the words that are no number are the message.
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT not_ours.by FROM not_ours),
    CASE WHEN (SELECT count(*) FROM outcomes) <> expected.count
        THEN CAST(expected.count || ' entries have an outcome, ' || (SELECT count(*) FROM outcomes) || ' of them have a row' AS int)
    END
FROM (
    SELECT count(*) FROM fence, unnest($69::uuid[]) AS asked (run_id)
    WHERE asked.run_id <> ALL (ARRAY(SELECT not_ours.id FROM not_ours))
) AS expected
