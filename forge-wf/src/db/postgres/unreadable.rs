//! Rows that the server cannot read: whether a row is at fault, or the server.
//!
//! Takes a run whose journal or mail could not be read; tells whether it alone is at fault. Writes nothing.

use sqlx::postgres::PgConnection;
use sqlx::{Row, query, query_with};
use tokio::time::timeout;
use uuid::Uuid;

use super::Inner;
use super::columns::Columns;
use super::connections::ANSWER_MAX;
use super::error::{sorted, state, unavailable};
use super::{mail, read};
use crate::model::RunId;
use crate::store::StoreError;

const CALL: &str = "find_unreadable";

/// Whether this answer of the server may be about the very rows that were asked for: neither the connection, nor the moment, nor
/// the rights, nor what the server has left. What it says of damaged pages (XX, 58), and what a text or a policy says.
fn accuses_a_row(error: &sqlx::Error) -> bool {
    let Some(state) = state(error) else { return false };
    !matches!(state.get(..2).unwrap_or_default(), "08" | "25" | "26" | "28" | "3F" | "40" | "42" | "53" | "55" | "57")
}

/// The same of an error that was sorted already.
pub(super) fn may_be_the_row(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable { source, .. }
        | StoreError::Refused { source, .. }
        | StoreError::Unexplained { source, .. } => source.downcast_ref::<sqlx::Error>().is_some_and(accuses_a_row),
        _ => false,
    }
}

/// What the server says of this run's journal and mail, if it cannot read them while it can read another run's journal; each on a
/// connection of its own, so that no old one is to blame.
pub(super) async fn find(inner: &Inner, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
    let Some(error) = afresh(inner, async |connection| try_to_read(connection, run, generation).await).await? else {
        return Ok(None);
    };
    if !accuses_a_row(&error) {
        return Err(sorted(CALL)(error));
    }
    match afresh(inner, async |connection| read_another(connection, run).await).await? {
        true => Ok(Some(error.to_string())),
        false => Err(sorted(CALL)(error)),
    }
}

async fn afresh<T>(inner: &Inner, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> Result<T, StoreError> {
    let mut link = inner.opener.open().await.map_err(sorted(CALL))?;
    // Dropped, not closed in order: nothing is open on it, and it may be broken.
    timeout(ANSWER_MAX, work(&mut link.connection)).await.map_err(|_| unavailable(CALL, "no answer in time"))
}

/// Why it cannot be read, if it cannot. Rows are looked at one by one and forgotten, however many there are.
async fn try_to_read(connection: &mut PgConnection, run: RunId, generation: i32) -> Option<sqlx::Error> {
    use futures_util::TryStreamExt;
    let journal = read::load_columns(&[(run, generation)], usize::MAX);
    for (sql, columns) in [(include_str!("sql/load_journals.sql"), journal), (mail::LOAD, mail::load_columns(&[run]))] {
        let Ok(arguments) = columns.finish(CALL) else { continue };
        let mut rows = query_with(sql, arguments).fetch(&mut *connection);
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
async fn read_another(connection: &mut PgConnection, run: RunId) -> bool {
    let others = query(include_str!("sql/others.sql")).bind(run.0).fetch_all(&mut *connection).await;
    for other in others.unwrap_or_default() {
        let (Ok(other), Ok(generation)) = (other.try_get::<Uuid, _>(0), other.try_get::<i32, _>(1)) else { continue };
        let Ok(arguments) = Columns::new().with(other).with(generation).finish(CALL) else { continue };
        let part = query_with(include_str!("sql/part_of_journal.sql"), arguments);
        if part.fetch_all(&mut *connection).await.is_ok_and(|rows| !rows.is_empty()) {
            return true;
        }
    }
    false
}
