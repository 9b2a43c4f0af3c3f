-- list_runs: ids of runs, newest first, at most $11, from below $8 on; of workflow $1, version $2, key $3, owner $4, with the
-- text $6 under the tag $5, in one of the states $7, created from $9 until before $10. Null asks for nothing. At most $12 runs
-- are looked at; if that was not all, the last of them comes behind, as false.
--
-- Ids are ordered by the time of the start (a child's by that of its oldest ancestor), so this walks the primary key from its
-- end, and never for long.
WITH looked_at AS MATERIALIZED (
    SELECT run.id, coalesce(
        ($1::text IS NULL OR run.workflow = $1)
        AND ($2::text IS NULL OR run.version = $2)
        AND ($3::text IS NULL OR run.key = $3)
        AND ($4::text IS NULL OR run.owner = $4)
        AND ($5::text IS NULL OR json_typeof(run.tags::json -> $5) = 'string' AND run.tags::json ->> $5 = $6)
        AND ($7::smallint[] IS NULL OR run.state = ANY ($7))
        AND ($9::timestamptz IS NULL OR run.created_at >= $9)
        AND ($10::timestamptz IS NULL OR run.created_at < $10),
    false) AS fits
    FROM forge_wf.runs AS run
    WHERE $8::uuid IS NULL OR run.id < $8
    ORDER BY run.id DESC LIMIT $12
)
(SELECT id, true FROM looked_at WHERE fits ORDER BY id DESC LIMIT $11)
UNION ALL
(SELECT id, false FROM looked_at WHERE (SELECT count(*) FROM looked_at) = $12 ORDER BY id LIMIT 1)
