//! Lists of runs for people: first their ids, then how they stand.

use std::time::Duration;

use sqlx::Row;
use uuid::Uuid;

use super::Inner;
use super::columns::Columns;
use super::error::sorted;
use super::read::{Which, views};
use crate::store::{ListRuns, RunView, StoreError};

const CALL: &str = "list_runs";

/// The parameters of `list_runs.sql`.
pub(super) fn columns(list: &ListRuns) -> Columns {
    let states = list.states.as_ref().map(|states| states.iter().map(|state| *state as i16).collect::<Vec<_>>());
    let (tag, value) = list.tag.as_ref().map_or((None, None), |(tag, value)| (Some(&**tag), Some(&**value)));
    Columns::new()
        .with(list.workflow.as_deref())
        .with(list.version.as_deref())
        .with(list.key.as_deref())
        .with(list.owner.as_deref())
        .with(tag)
        .with(value)
        .with(states)
        .with(list.before.map(|run| run.0))
        .with(list.created_from)
        .with(list.created_until)
        .with(i64::from(list.limit))
}

pub(super) async fn list(inner: &Inner, columns: Columns, grace: Duration) -> Result<Vec<RunView>, StoreError> {
    let rows = inner.fetch(CALL, include_str!("sql/list_runs.sql"), columns).await?;
    let ids = rows.iter().map(|row| row.try_get::<Uuid, _>(0)).collect::<Result<Vec<_>, _>>().map_err(sorted(CALL))?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    views(inner, Which::Ids(ids), grace).await
}
