# Every recipe only calls a script, so nobody needs just.

# list the recipes
default:
    @just --list

# all tests, on SQLite and on a PostgreSQL of their own
test *arguments:
    scripts/test {{arguments}}

# a command beside a PostgreSQL of its own, as in `just postgres psql`
postgres *command:
    scripts/postgres {{command}}

# attacks the database under two workers for some minutes, as in `just soak --sqlite 5`
soak *arguments:
    scripts/soak {{arguments}}

# everything CI runs
ci:
    .ci/run

# licenses, sources and known advisories of the dependencies
deny *checks:
    scripts/deny {{checks}}
