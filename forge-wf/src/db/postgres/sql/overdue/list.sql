-- list: their ids.
SELECT id FROM late
