-- list_runs: ids of runs, newest first, at most ?11, from below ?8 on; of workflow ?1, version ?2, key ?3, owner ?4, with the
-- value ?6 under the tag ?5, in one of the states ?7 (JSON), created from ?9 until before ?10. Null asks for nothing.
--
-- Ids are ordered by the time of the start, so this walks the primary key from its end until the page is full: what few runs
-- fit costs a look at many.
SELECT run.id FROM forge_wf_runs AS run
WHERE (?1 IS NULL OR run.workflow = ?1)
  AND (?2 IS NULL OR run.version = ?2)
  AND (?3 IS NULL OR run.key = ?3)
  AND (?4 IS NULL OR run.owner = ?4)
  AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(run.tags) AS tag WHERE tag.key = ?5 AND tag.value = ?6))
  AND (?7 IS NULL OR run.state IN (SELECT value FROM json_each(?7)))
  AND (?8 IS NULL OR run.id < ?8)
  AND (?9 IS NULL OR run.created_at >= ?9)
  AND (?10 IS NULL OR run.created_at < ?10)
ORDER BY run.id DESC LIMIT ?11
