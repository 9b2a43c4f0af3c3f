-- list: the ids of what is due, in the order in which they are taken.
SELECT id FROM due WHERE since IS NOT NULL GROUP BY id ORDER BY max(priority) DESC, min(since), id LIMIT ?3
