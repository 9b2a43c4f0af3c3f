-- list: their ids, of those that are ids.
SELECT id FROM blocked WHERE length(id) = 16
