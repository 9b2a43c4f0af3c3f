-- take: gives worker ?6, as claim ?7, up to ?3 of what is due (of that only run ?9, unless it is null), and those of ?8 (JSON: ids in
-- hex) that it owns already.
UPDATE forge_wf_runs SET
    worker_id = ?6,
    claim_no = ?7,
    state = 1,
    definition = coalesce(definition, (SELECT offer.definition FROM offer WHERE offer.needs = forge_wf_runs.needs LIMIT 1)),
    version = iif(definition IS NULL,
        coalesce((SELECT offer.version FROM offer WHERE offer.needs = forge_wf_runs.needs LIMIT 1), version), version),
    needs = iif(definition IS NULL,
        coalesce((SELECT offer.definition FROM offer WHERE offer.needs = forge_wf_runs.needs LIMIT 1), needs), needs),
    deadline_at = iif(definition IS NULL, coalesce(deadline_at,
        coalesce(ready_at, ?2) + (SELECT offer.timeout FROM offer WHERE offer.needs = forge_wf_runs.needs LIMIT 1)), deadline_at)
WHERE id IN (
    SELECT id FROM (
        SELECT id FROM due WHERE since IS NOT NULL AND (?9 IS NULL OR id = ?9)
        GROUP BY id ORDER BY max(priority) DESC, min(since), id LIMIT ?3
    )
    UNION ALL
    SELECT run.id FROM json_each(?8) AS adopted CROSS JOIN forge_wf_runs AS run
    WHERE run.id = unhex(adopted.value) AND +run.worker_id = ?6
)
