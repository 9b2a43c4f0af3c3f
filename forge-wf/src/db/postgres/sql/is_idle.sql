-- is_idle: whether the process $1 of this server is gone, or has waited for its client for $2 milliseconds. One row. A role
-- sees the state of its own processes only; of another role's the answer is no.
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = $1 AND (
        state IS NULL OR state NOT LIKE 'idle%' OR state_change > clock_timestamp() - $2 * interval '1 millisecond'
    )
)
