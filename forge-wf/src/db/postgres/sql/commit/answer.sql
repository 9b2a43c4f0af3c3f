-- answer: whether the fence moved, and which runs were not ours.
SELECT EXISTS (SELECT FROM fence), ARRAY(SELECT not_ours.by FROM not_ours)
