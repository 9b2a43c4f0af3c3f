-- answer: whether the fence moved, and which runs were updated. An outcome without a row would be a step run twice, so
-- it fails the statement: the words that are no number are the message.
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT id FROM updated),
    CASE WHEN EXISTS (SELECT FROM fence) AND (SELECT count(*) FROM outcomes) <> cardinality($63)
        THEN CAST(cardinality($63) || ' entries have an outcome, ' || (SELECT count(*) FROM outcomes) || ' of them have a row' AS int)
    END
