-- list: the ids of what is due, in the order in which they are taken.
)
SELECT due.id FROM due
