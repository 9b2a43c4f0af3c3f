//! What PostgreSQL says, sorted by what the caller can do next.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};

use crate::model::WorkerId;
use crate::store::StoreError;

/// The five characters PostgreSQL sorts its errors by, if it was the server that answered.
pub(super) fn state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// What an answer accuses. It decides what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The data: the same statement will fail again, here and anywhere. The connection is good.
    Data,
    /// The moment: the same statement may succeed, on this connection, a little later.
    Moment,
    /// Neither, as far as is known, so perhaps the connection: it is closed, and the statement sent on a new one.
    Connection,
}

/// States that accuse the data, and nothing else: its form, a constraint, more than the server can hold.
const DATA: &[&str] = &[
    "22000", "22001", "22003", "22004", "22007", "22008", "22009", "2200H", "22021", "22023", "22P02", "22P05",
    "23000", "23502", "23503", "23505", "23514", "23P01", "54000",
];
/// A lock that is not to be had, a conflict between transactions, a statement that was cancelled (by the server's own limit on
/// statements, say). Nothing was written.
const MOMENT: &[&str] = &["55P03", "40001", "40P01", "57014"];
/// Classes of states that speak of the server or of the way to it: no data can cause them. Connections, logins, read-only
/// transactions, prepared statements, resources, operators, files, defects.
const SERVER: &[&str] = &["08", "25", "26", "28", "3D", "53", "57", "58", "XX"];
/// What a pooler causes that mixes up prepared statements: the name of one is taken, or unknown, or it is a statement with other
/// parameters than those sent. The driver encodes parameters as the statement declares them, so no data causes the last.
const MIXED_UP: &[&str] = &["42P05", "26000", "22P03"];

/// What `error` accuses.
pub(super) fn blame(error: &sqlx::Error) -> Blame {
    match state(error).as_deref() {
        Some(state) if DATA.contains(&state) => Blame::Data,
        Some(state) if MOMENT.contains(&state) => Blame::Moment,
        _ => Blame::Connection,
    }
}

/// Whether a statement lost a conflict with another transaction, so that it may be repeated at once.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(state(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether no data can have caused this error.
pub(super) fn is_of_the_server(error: &sqlx::Error) -> bool {
    is_closed(error)
        || state(error)
            .is_none_or(|state| MIXED_UP.contains(&&*state) || SERVER.iter().any(|class| state.starts_with(class)))
}

/// What to do about a pooler that mixes up the prepared statements of its clients.
pub(super) const POOLER: &str = "a connection pooler in transaction or statement mode that does not keep prepared statements stands before PostgreSQL; use \
    the pooler in session mode, or PgBouncer 1.21 or newer with max_prepared_statements above 0 and \
    RuntimeBuilder::notifications(false), or connect to PostgreSQL itself";

/// What to do where there is room for fewer connections than a store opens.
pub(super) const FEW: &str = "allow the server, the database or the role more connections, or let this program hold fewer with \
    RuntimeBuilder::connections";

/// Whether the server, the database or the role has no room for one more connection.
pub(super) fn has_no_room(error: &sqlx::Error) -> bool {
    state(error).as_deref() == Some("53300")
}

/// No answer came within the time.
pub(super) fn timed_out(who: &str, within: Duration) -> sqlx::Error {
    let what = format!("{who} within {} s", within.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

/// Whether the database lets nobody in for now (ALTER DATABASE .. ALLOW_CONNECTIONS false). A statement may give the same state for
/// other reasons, but only what ends the connection is fatal.
fn is_closed(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| error.code() == "55000" && matches!(error.severity(), PgSeverity::Fatal))
}

/// Sorts an error of `call`. Whatever is not known to be otherwise leaves the outcome open: `Unavailable`.
pub(super) fn sort(call: &'static str, error: sqlx::Error) -> StoreError {
    if let Some(state) = state(&error) {
        return match state.as_str() {
            "55P03" | "40001" | "40P01" => StoreError::Busy { call, source: error.into() },
            "57014" => StoreError::Unavailable { call, source: error.into() },
            "53300" => StoreError::Unavailable { call, source: format!("{error}; {FEW}").into() },
            mixed if MIXED_UP.contains(&mixed) => {
                StoreError::Unavailable { call, source: format!("{error}; {POOLER}").into() }
            }
            "42501" => StoreError::Misconfigured {
                what: format!(
                    "{call}: {error}; grant this role the rights listed at the top of migrations/postgres/0001_runs.sql"
                ),
            },
            "42P01" | "3F000" => StoreError::Misconfigured {
                what: format!(
                    "{call}: {error}; the tables of forge-wf were dropped under a running program, restart it"
                ),
            },
            _ if blame(&error) == Blame::Data => StoreError::Refused { call, source: error.into() },
            _ if is_of_the_server(&error) => StoreError::Unavailable { call, source: error.into() },
            _ => StoreError::Unexplained { call, source: error.into() },
        };
    }
    match error {
        sqlx::Error::ColumnDecode { index, source } => {
            StoreError::Corrupt { what: format!("column {index} read by {call}: {source}") }
        }
        sqlx::Error::Decode(source) => StoreError::Corrupt { what: format!("a column read by {call}: {source}") },
        sqlx::Error::Encode(source) => StoreError::Refused { call, source },
        // Of pools that this store closed itself.
        sqlx::Error::PoolClosed => StoreError::Closed { call },
        other => StoreError::Unavailable { call, source: other.into() },
    }
}

/// Sorts the error of a result, as in `.map_err(sorted("commit"))`.
pub(super) fn sorted(call: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| sort(call, error)
}

/// Whether an error of connecting may go away by itself: the server, or the way to it, is not up yet.
pub(super) fn is_a_matter_of_time(error: &sqlx::Error) -> bool {
    match (state(error).as_deref(), error) {
        _ if is_closed(error) => true,
        // It starts up, shuts down, or has no room.
        (Some(state), _) => state.starts_with("57P") || state.starts_with("08") || state.starts_with("53"),
        (None, error) => matches!(error, sqlx::Error::Io(_)),
    }
}

/// Where an address leads, for people.
pub(super) fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => format!("{} (port {})", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Says what a person has to change so that `error` does not come up again while connecting. Names host, database and role,
/// never the password.
pub(super) fn explain(error: sqlx::Error, options: &PgConnectOptions) -> StoreError {
    let place = place(options);
    let role = options.get_username();
    let database = options.get_database().unwrap_or(role);
    let what = match (state(&error).as_deref(), &error) {
        (Some("28P01" | "28000"), _) => {
            format!(
                "PostgreSQL at {place} does not let role {role} in ({error}); check user and password in the address"
            )
        }
        (Some("3D000"), _) => {
            format!("there is no database {database} at {place}; create it (createdb {database}) or name another one")
        }
        (Some("42501"), _) => format!(
            "role {role} lacks rights in database {database} at {place} ({error}); to let it create and upgrade the tables, \
             run GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\"; to run with fewer rights, let an administrator's \
             program connect first and grant what the top of migrations/postgres/0001_runs.sql lists"
        ),
        (Some("25006"), _) => read_only(&place, &error),
        (Some(state), _) if MIXED_UP.contains(&state) => format!("{place}: {error}; {POOLER}"),
        (Some("55000"), _) if is_closed(&error) => format!(
            "database {database} at {place} lets nobody in ({error}); open it (ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS true), or \
             have RuntimeBuilder::wait_for_database wait for that"
        ),
        (None, sqlx::Error::Io(source)) if source.kind() == std::io::ErrorKind::TimedOut => format!(
            "PostgreSQL at {place}: {source}; check that the server is not frozen, that what lies between lets packets through, and \
             host and port in the address"
        ),
        (None, sqlx::Error::Io(_)) => {
            format!(
                "PostgreSQL at {place} cannot be reached ({error}); check that it runs, and host and port in the address"
            )
        }
        (None, sqlx::Error::Tls(_)) => format!(
            "no encrypted connection to PostgreSQL at {place} ({error}); check sslmode and sslrootcert in the address, and \
             that forge-wf is built with the feature tls-rustls"
        ),
        (None, sqlx::Error::Configuration(_)) => format!("the address of PostgreSQL at {place} is wrong: {error}"),
        _ => return sort(CONNECT, error),
    };
    StoreError::Misconfigured { what }
}

/// The same error, with what to do about it if the server is read-only.
pub(super) fn if_read_only(error: StoreError, place: &str) -> StoreError {
    let StoreError::Unavailable { source, .. } = &error else { return error };
    match source.downcast_ref::<sqlx::Error>() {
        Some(source) if state(source).as_deref() == Some("25006") => {
            StoreError::Misconfigured { what: read_only(place, source) }
        }
        _ => error,
    }
}

fn read_only(place: &str, error: &sqlx::Error) -> String {
    format!(
        "PostgreSQL at {place} is read-only ({error}): it is a standby, or it was made read-only; name the primary server in the \
         address, or make this one writable"
    )
}

/// What the caller of `connect` is told it called.
pub(super) const CONNECT: &str = "connect";

pub(super) fn refused(call: &'static str, what: String) -> StoreError {
    StoreError::Refused { call, source: what.into() }
}

pub(super) fn unavailable(call: &'static str, what: &'static str) -> StoreError {
    StoreError::Unavailable { call, source: what.into() }
}

pub(super) fn lost(worker: WorkerId) -> StoreError {
    StoreError::LeaseLost { worker }
}

pub(super) fn unknown(what: impl Into<String>) -> StoreError {
    StoreError::Unknown { what: what.into() }
}

pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.into() }
}
