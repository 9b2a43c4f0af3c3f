-- list_runs: ids of runs, newest first, at most $11, from below $8 on; of workflow $1, version $2, key $3, owner $4, with the
-- value $6 under the tag $5, in one of the states $7, created from $9 until before $10. Null asks for nothing.
--
-- Ids are ordered by the time of the start, so this walks the primary key from its end until the page is full: what few runs
-- fit costs a look at many.
SELECT run.id FROM forge_wf.runs AS run
WHERE ($1::text IS NULL OR run.workflow = $1)
  AND ($2::text IS NULL OR run.version = $2)
  AND ($3::text IS NULL OR run.key = $3)
  AND ($4::text IS NULL OR run.owner = $4)
  AND ($5::text IS NULL OR run.tags::jsonb ->> $5 = $6)
  AND ($7::smallint[] IS NULL OR run.state = ANY ($7))
  AND ($8::uuid IS NULL OR run.id < $8)
  AND ($9::timestamptz IS NULL OR run.created_at >= $9)
  AND ($10::timestamptz IS NULL OR run.created_at < $10)
ORDER BY run.id DESC LIMIT $11
