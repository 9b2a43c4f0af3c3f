-- limits: how many connections the role of this connection may hold: by its own limit, by that of this database, and by the server's,
-- without those reserved for others. One row; NULL where there is no limit. A superuser has none. A server before version 16 has no
-- `reserved_connections`.
SELECT
    CASE WHEN NOT rolsuper AND rolconnlimit >= 0 THEN rolconnlimit END,
    CASE WHEN NOT rolsuper AND datconnlimit >= 0 THEN datconnlimit END,
    CASE WHEN NOT rolsuper THEN
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0)
    END
FROM pg_roles, pg_database
WHERE rolname = session_user AND datname = current_database()
