-- unnoticed_mail: of the runs worker $1 owns, but for those in $5, in order of arrival: of each run a page of the oldest, of all
-- together four pages at most. A page has at most $2 mails, and ends behind the one that makes it $3 bytes long. Only of kinds up
-- to $4, which this build can read.
--
-- Mail is walked first (IS NOT DISTINCT FROM keeps the planner off the index of workers): un-noticed mail is rare, runs are
-- not. `letter` hops through the index from one run that has some to the next, so the length of a flood to one counts for
-- nothing. Bodies are read last, of what is kept: their length is known without. `id = ANY (ARRAY[..])` as in claim_runs.
WITH RECURSIVE letter (run_id) AS (
    (SELECT mail.run_id FROM forge_wf.inbox AS mail WHERE mail.noticed_at IS NULL ORDER BY mail.run_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT mail.run_id FROM forge_wf.inbox AS mail
        WHERE mail.noticed_at IS NULL AND mail.run_id > letter.run_id
        ORDER BY mail.run_id LIMIT 1
    ) FROM letter WHERE letter.run_id IS NOT NULL
)
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, false, mail.retries
FROM (
    SELECT page.id,
        row_number() OVER (ORDER BY page.no) AS place,
        sum(page.bytes) OVER (ORDER BY page.no) - page.bytes AS bytes_before
    FROM letter
    JOIN forge_wf.runs AS run ON run.id = ANY (ARRAY[letter.run_id]) AND run.worker_id IS NOT DISTINCT FROM $1
        AND letter.run_id <> ALL ($5::uuid[]),
    LATERAL (
        SELECT unnoticed.id, unnoticed.no, unnoticed.bytes,
            sum(unnoticed.bytes) OVER (ORDER BY unnoticed.no) - unnoticed.bytes AS bytes_before
        FROM (
            SELECT oldest.id, oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
            FROM forge_wf.inbox AS oldest
            WHERE oldest.run_id = run.id AND oldest.noticed_at IS NULL AND oldest.kind BETWEEN 0 AND $4
            ORDER BY oldest.no LIMIT $2
        ) AS unnoticed
    ) AS page
    WHERE page.bytes_before < $3
) AS kept JOIN forge_wf.inbox AS mail ON mail.id = ANY (ARRAY[kept.id])
WHERE kept.place <= 4 * $2 AND kept.bytes_before < 4 * $3
ORDER BY mail.no
