//! Rows that the server cannot read: whether a row is at fault, or the server.
//!
//! Takes a run whose journal or mail could not be read; returns whether it alone is at fault. Writes nothing.

use sqlx::Row;
use uuid::Uuid;

use super::Inner;
use super::columns::Columns;
use super::error::{sorted, state};
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
    answer(error).is_some_and(accuses_a_row)
}

/// Whether this answer to a change of several runs may be about one of them: also what a trigger or a policy says.
pub(super) fn may_be_a_run(error: &StoreError) -> bool {
    may_be_the_row(error) || error.may_be_of_the_data()
}

/// Whether the server cancelled the statement, most likely because it took longer than the connection allows. The same statement
/// takes as long again; a smaller one may not.
pub(super) fn is_too_slow(error: &StoreError) -> bool {
    answer(error).and_then(state).as_deref() == Some("57014")
}

/// What the server answered, if this is an error of its.
pub(super) fn answer(error: &StoreError) -> Option<&sqlx::Error> {
    match error {
        StoreError::Unavailable { source, .. }
        | StoreError::Refused { source, .. }
        | StoreError::Unexplained { source, .. } => {
            source.downcast_ref::<sqlx::Error>().filter(|error| state(error).is_some())
        }
        _ => None,
    }
}

/// What the server says of this run's journal and mail, if it cannot read them while it can read another run's journal. An error that
/// accuses a row came on a connection that was new: on one that was not, the pool would have asked again.
pub(super) async fn find(inner: &Inner, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
    let columns = Columns::new().with(run.0).with(generation);
    let error = match inner.fetch(CALL, include_str!("sql/read_whole_run.sql"), columns).await {
        Ok(_) => return Ok(None),
        Err(error) if may_be_the_row(&error) => error,
        Err(error) => return Err(error),
    };
    // Some of them may be damaged as well.
    for other in inner.fetch(CALL, include_str!("sql/others.sql"), Columns::new().with(run.0)).await? {
        let other_id: Uuid = other.try_get(0).map_err(sorted(CALL))?;
        let columns = Columns::new().with(other_id).with(other.try_get::<i32, _>(1).map_err(sorted(CALL))?);
        if inner.fetch(CALL, include_str!("sql/part_of_journal.sql"), columns).await.is_ok_and(|rows| !rows.is_empty())
        {
            return Ok(Some(error.to_string()));
        }
    }
    Err(error)
}
