-- answer: whether the fence moved, and which runs were updated.
SELECT EXISTS (SELECT FROM fence), ARRAY[]::uuid[]
