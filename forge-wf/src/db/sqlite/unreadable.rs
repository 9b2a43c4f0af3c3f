//! Rows that SQLite cannot read: whether a row is at fault, or the file.
//!
//! Takes a run whose journal or mail could not be read; tells whether it alone is at fault. Writes nothing.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Row, query};
use uuid::Uuid;

use super::error::{code, sorted};
use super::mail;
use crate::model::RunId;
use crate::store::StoreError;

const CALL: &str = "find_unreadable";

/// SQLite's primary result codes for a page that cannot be read, or makes no sense.
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;

/// Whether this may be about the very rows that were asked for.
fn accuses_a_row(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(IOERR | CORRUPT))
}

/// Whether this answer to a write may be about the very rows that were to be written: they cannot be read, or they are refused, as a
/// trigger refuses them.
pub(super) fn may_be_the_row(error: &StoreError) -> bool {
    match error {
        StoreError::Refused { .. } => true,
        StoreError::Unavailable { source, .. } => source.downcast_ref::<sqlx::Error>().is_some_and(accuses_a_row),
        _ => false,
    }
}

/// What SQLite says of this run's journal and mail, if it cannot read them while it can read another run's journal; each on a
/// connection of its own, which has kept no page in memory.
pub(super) async fn find(pool: &SqlitePool, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
    let options = pool.connect_options();
    let mut connection = options.connect().await.map_err(sorted(CALL))?;
    let Some(error) = try_to_read(&mut connection, run, generation).await else { return Ok(None) };
    if !accuses_a_row(&error) {
        return Err(sorted(CALL)(error));
    }
    let mut connection = options.connect().await.map_err(sorted(CALL))?;
    match read_another(&mut connection, run).await {
        true => Ok(Some(error.to_string())),
        false => Err(sorted(CALL)(error)),
    }
}

/// Why it cannot be read, if it cannot. Rows are looked at one by one and forgotten, however many there are.
async fn try_to_read(connection: &mut SqliteConnection, run: RunId, generation: i32) -> Option<sqlx::Error> {
    let journal = query(include_str!("sql/load_journal.sql")).bind(run.0).bind(generation);
    for query in [journal, mail::load_query(mail::LOAD, run)] {
        let mut rows = query.fetch(&mut *connection);
        loop {
            match rows.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
    }
    None
}

/// Whether a part of some other run's journal can be read: one that stands before or behind this one's in the order of ids.
async fn read_another(connection: &mut SqliteConnection, run: RunId) -> bool {
    let others = query(include_str!("sql/others.sql")).bind(run.0).fetch_all(&mut *connection).await;
    for other in others.unwrap_or_default() {
        let (Ok(other), Ok(generation)) = (other.try_get::<Uuid, _>(0), other.try_get::<i32, _>(1)) else { continue };
        let part = query(include_str!("sql/part_of_journal.sql")).bind(other).bind(generation);
        if part.fetch_all(&mut *connection).await.is_ok_and(|rows| !rows.is_empty()) {
            return true;
        }
    }
    false
}
