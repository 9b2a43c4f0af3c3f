//! Lists of runs for people: first their ids, then how they stand.

use std::time::Duration;

use sqlx::Row;

use super::Inner;
use super::columns::Columns;
use super::error::sorted;
use super::read::{Depth, Which, views};
use super::rows::run_view;
use crate::model::RunId;
use crate::store::{ListRuns, Listed, StoreError};

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
        .with(i64::from(list.look_at))
}

pub(super) async fn list(
    inner: &Inner,
    list: &ListRuns,
    columns: Columns,
    grace: Duration,
) -> Result<Listed, StoreError> {
    let (mut fitting, mut last) = (Vec::new(), None);
    for row in inner.fetch(CALL, include_str!("sql/list_runs.sql"), columns).await? {
        let run = RunId(row.try_get(0).map_err(sorted(CALL))?);
        if row.try_get(1).map_err(sorted(CALL))? { fitting.push(run) } else { last = Some(run) }
    }
    let mut listed = Listed { next: list.next(&fitting, last), ..Listed::default() };
    if fitting.is_empty() {
        return Ok(listed);
    }
    let ids = fitting.into_iter().map(|run| run.0).collect();
    for row in views(inner, Which::Ids(ids), Depth::Standing, grace).await? {
        let (id, workflow) = (row.try_get(0).map_err(sorted(CALL))?, row.try_get(1).map_err(sorted(CALL))?);
        listed.add(RunId(id), workflow, run_view(&row))?;
    }
    Ok(listed)
}
