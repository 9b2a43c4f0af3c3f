-- list_runs: ids of runs, newest first, at most ?11, from below ?8 on; of workflow ?1, version ?2, key ?3, owner ?4, with the
-- text ?6 under the tag ?5, in one of the states ?7 (JSON), created from ?9 until before ?10. Null asks for nothing. At most
-- ?12 runs are looked at; if that was not all, the last of them comes behind, as 0. What is no id comes last, as 2, at most ten.
--
-- Ids are ordered by the time of the start (a child's by that of its oldest ancestor), so this walks the primary key from its
-- end, and never for long.
WITH looked_at AS MATERIALIZED (
    SELECT run.id, coalesce(
        (?1 IS NULL OR run.workflow = ?1)
        AND (?2 IS NULL OR run.version = ?2)
        AND (?3 IS NULL OR run.key = ?3)
        AND (?4 IS NULL OR run.owner = ?4)
        AND (?5 IS NULL OR EXISTS (
            SELECT 1 FROM json_each(iif(json_valid(run.tags), run.tags, '{}')) AS tag WHERE tag.key = ?5 AND tag.type = 'text' AND tag.value = ?6
        ))
        AND (?7 IS NULL OR run.state IN (SELECT value FROM json_each(?7)))
        AND (?9 IS NULL OR run.created_at >= ?9)
        AND (?10 IS NULL OR run.created_at < ?10),
    0) AS fits
    FROM forge_wf_runs AS run
    WHERE ?8 IS NULL OR run.id < ?8
    ORDER BY run.id DESC LIMIT ?12
)
SELECT * FROM (SELECT id, 1 FROM looked_at WHERE fits AND length(id) = 16 ORDER BY id DESC LIMIT ?11)
UNION ALL
SELECT * FROM (SELECT id, 0 FROM looked_at WHERE (SELECT count(*) FROM looked_at) = ?12 AND length(id) = 16 ORDER BY id LIMIT 1)
UNION ALL
SELECT * FROM (SELECT id, 2 FROM looked_at WHERE length(id) <> 16 LIMIT 10)
