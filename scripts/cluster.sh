# For scripts that make a PostgreSQL cluster of their own; read by them, not run. Expects their functions `say` and `die`, which print
# a line to the error output. Finds a server, or installs one; sets `bin` (its programs) and `owner` (the user it runs as).
# shellcheck shell=bash

postgres_oldest=14

# Prints the newest directory that holds a server which is new enough.
find_server() {
    local bin version
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5,5nr) \
        "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(readlink -f "$(command -v initdb)")")"; do
        [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && [ -x "$bin/pg_ctl" ] || continue
        version=$("$bin/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
        [ "$version" -ge "$postgres_oldest" ] || continue
        echo "$bin"
        return
    done
}

install_server() {
    local command="apt-get update && apt-get install -y postgresql"
    if ! command -v apt-get >/dev/null; then
        die "no PostgreSQL server $postgres_oldest or newer found; install one so that pg_config is on the PATH"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        die "no PostgreSQL server $postgres_oldest or newer found; run once: sudo sh -c '$command'"
    fi
    say "installing Debian's postgresql"
    # Without this, installing would also create and start a cluster that nobody asked for.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
    fi
    DEBIAN_FRONTEND=noninteractive sh -c "$command" >&2
}

bin=$(find_server)
[ -n "$bin" ] || { install_server; bin=$(find_server); }
[ -n "$bin" ] || die "no PostgreSQL server $postgres_oldest or newer found, not even after installing the package"

# The server refuses to run as root, so it gets a user without rights.
owner=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
    owner=nobody
    id -u postgres >/dev/null 2>&1 && owner=postgres
fi
as_owner() {
    if [ "$owner" = "$(id -un)" ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$owner" -- "$@"
    elif command -v setpriv >/dev/null; then
        setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups -- "$@"
    else
        su -s /bin/sh "$owner" -c 'exec "$0" "$@"' -- "$@"
    fi
}

# A directory the owner can reach, with a path short enough for a Unix socket (107 bytes).
make_home() {
    local base home
    for base in "${TMPDIR:-/tmp}" /tmp; do
        home=$(mktemp -d "$base/forge-wf-postgres.XXXXXX" 2>/dev/null) || continue
        chmod 0700 "$home"
        [ "$owner" = "$(id -un)" ] || chown "$owner" "$home"
        if [ ${#home} -le 80 ] && as_owner test -w "$home"; then
            echo "$home"
            return
        fi
        rm -rf "$home"
    done
    die "neither ${TMPDIR:-/tmp} nor /tmp can hold a cluster of user $owner"
}
