-- list: their ids.
SELECT id FROM blocked
