//! What PostgreSQL says, sorted by what the caller can do next.

use sqlx::postgres::PgConnectOptions;

use crate::model::WorkerId;
use crate::store::StoreError;

/// The five characters PostgreSQL sorts its errors by, if it was the server that answered.
pub(super) fn state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Sorts an error of `call`. Whatever is not known to be otherwise leaves the outcome open: `Unavailable`.
pub(super) fn sort(call: &'static str, error: sqlx::Error) -> StoreError {
    if let Some(state) = state(&error) {
        return match (state.get(..2).unwrap_or_default(), state.as_str()) {
            (_, "55P03") => StoreError::Busy { call },
            // Data the server cannot keep: its form (22), a constraint (23), more than it can hold (54).
            ("22" | "23" | "54", _) => StoreError::Refused { call, source: error.into() },
            (_, "42501") => StoreError::Misconfigured {
                what: format!(
                    "{call}: {error}; grant this role the rights listed at the top of migrations/postgres/0001_runs.sql"
                ),
            },
            (_, "42P01" | "3F000") => StoreError::Misconfigured {
                what: format!(
                    "{call}: {error}; the tables of forge-wf were dropped under a running program, restart it"
                ),
            },
            _ => StoreError::Unavailable { call, source: error.into() },
        };
    }
    match error {
        sqlx::Error::ColumnDecode { index, source } => {
            StoreError::Corrupt { what: format!("column {index} read by {call}: {source}") }
        }
        sqlx::Error::Decode(source) => StoreError::Corrupt { what: format!("a column read by {call}: {source}") },
        sqlx::Error::Encode(source) => StoreError::Refused { call, source },
        other => StoreError::Unavailable { call, source: other.into() },
    }
}

/// Sorts the error of a result, as in `.map_err(sorted("commit"))`.
pub(super) fn sorted(call: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| sort(call, error)
}

/// Says what a person has to change so that `error` does not come up again while connecting. Names host, database and role,
/// never the password.
pub(super) fn explain(error: sqlx::Error, options: &PgConnectOptions) -> StoreError {
    let place = match options.get_socket() {
        Some(socket) => format!("{} (port {})", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
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
        (Some("25006"), _) => format!("PostgreSQL at {place} is a read-only standby; name the primary server"),
        (None, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => {
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
