-- load_events: of run $1 a page of the oldest events (kind 0) named $2 that are not taken, and everything that asks to drop (7)
-- or replace (8) one of them, in order of arrival. The page has at most $3 events, and ends behind the one that makes it $4 bytes
-- long. The last column: with an event, how many the page was cut from; $3 + 1 means that, or more.
--
-- Bodies are read last, of what is kept: their length is known without.
SELECT mail.no, mail.id, mail.run_id, mail.kind, mail.name, mail.body, mail.sent_at, mail.noticed_at IS NOT NULL, mail.retries, kept.there
FROM (
    SELECT page.id, page.there
    FROM (
        SELECT event.id, count(*) OVER () AS there,
            row_number() OVER (ORDER BY event.no) AS place,
            sum(event.bytes) OVER (ORDER BY event.no) - event.bytes AS bytes_before
        FROM (
            SELECT oldest.id, oldest.no, coalesce(octet_length(oldest.body), 0) AS bytes
            FROM forge_wf.inbox AS oldest
            WHERE oldest.run_id = $1 AND oldest.name = $2 AND oldest.kind = 0 AND oldest.taken_at IS NULL
            ORDER BY oldest.no LIMIT $3 + 1
        ) AS event
    ) AS page
    WHERE page.place <= $3 AND page.bytes_before < $4
    UNION ALL
    SELECT id, NULL FROM forge_wf.inbox WHERE run_id = $1 AND name = $2 AND kind = 7 AND taken_at IS NULL
    UNION ALL
    SELECT id, NULL FROM forge_wf.inbox WHERE run_id = $1 AND name = $2 AND kind = 8 AND taken_at IS NULL
) AS kept JOIN forge_wf.inbox AS mail ON mail.id = kept.id
ORDER BY mail.no
