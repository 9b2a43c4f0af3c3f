-- is_idle: whether the process $1 of this server, started at $3 (in microseconds), is gone, or has waited for its client for $2
-- milliseconds. One row. A process that was started at another time is another one: this server is not the one that was asked. A role
-- sees the start and the state of its own processes only; of another role's the answer is no.
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = $1 AND coalesce((extract(epoch FROM backend_start) * 1000000)::bigint = $3, true) AND (
        state IS NULL OR state NOT LIKE 'idle%' OR state_change > clock_timestamp() - $2 * interval '1 millisecond'
    )
)
