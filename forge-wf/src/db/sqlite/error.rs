//! What SQLite says, sorted by what the caller can do next.

use crate::model::time::from_micros;
use crate::model::{Timestamp, WorkerId};
use crate::store::StoreError;

/// The present in microseconds.
///
/// SQLite has no clock of its own: its `now` is this process's wall clock, cut to milliseconds. Asked for inside the
/// transaction, this is the database's clock, only finer; all workers of one file are on one machine.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// A duration in microseconds; one too long for 64 bits becomes the longest.
pub(super) fn micros(length: std::time::Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

pub(super) fn time(micros: i64) -> Timestamp {
    from_micros(micros)
}

/// SQLite's primary result codes, from sqlite3.h; they never change.
pub(super) const BUSY: i32 = 5;
const LOCKED: i32 = 6;
pub(super) const READONLY: i32 = 8;
pub(super) const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
pub(super) const NOTADB: i32 = 26;

/// The primary result code, if SQLite itself answered.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Sorts an error of `call`. Whatever is not known to be otherwise leaves the outcome open: `Unavailable`.
pub(super) fn sort(call: &'static str, error: sqlx::Error) -> StoreError {
    match code(&error) {
        Some(BUSY | LOCKED) => StoreError::Busy { call, source: error.into() },
        Some(TOOBIG | CONSTRAINT | MISMATCH) => StoreError::Refused { call, source: error.into() },
        Some(_) => StoreError::Unavailable { call, source: error.into() },
        None => match error {
            sqlx::Error::ColumnDecode { index, source } => {
                StoreError::Corrupt { what: format!("column {index} read by {call}: {source}") }
            }
            other => StoreError::Unavailable { call, source: other.into() },
        },
    }
}

/// Sorts the error of a result, as in `.map_err(sorted("commit"))`.
pub(super) fn sorted(call: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| sort(call, error)
}

pub(super) fn refused(call: &'static str, what: String) -> StoreError {
    StoreError::Refused { call, source: what.into() }
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
