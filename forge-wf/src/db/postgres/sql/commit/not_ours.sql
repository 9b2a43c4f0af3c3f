-- not_ours: the runs of which no part is written, and whose they would have to be. For a batch without updates.
, not_ours (id, by) AS MATERIALIZED (SELECT refused.id, refused.by FROM refused)
