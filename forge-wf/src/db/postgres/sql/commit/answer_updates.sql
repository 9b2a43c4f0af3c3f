-- answer: whether the fence moved, which runs were updated, and of which runs no part was written.
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT id FROM updated), ARRAY(SELECT id FROM guard WHERE NOT is_ours AND id = by)
