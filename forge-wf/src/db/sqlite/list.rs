//! Lists of runs for people: first their ids, then how they stand.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Row, query, query_as};

use super::error::sorted;
use super::read::moments;
use super::read::run_view_sql;
use super::rows::run_view;
use super::strange::{StrangeIds, lossy};
use crate::model::RunId;
use crate::store::{ListRuns, Listed, StoreError};

const CALL: &str = "list_runs";

static RUNS_BY_ID: LazyLock<String> = LazyLock::new(|| {
    // A list shows neither failures nor outputs, which may be long.
    run_view_sql("run.id IN (SELECT unhex(value) FROM json_each(?3)) ORDER BY run.id DESC", "NULL, NULL, 0")
});

pub(super) async fn list(
    pool: &SqlitePool,
    strange: &StrangeIds,
    list: &ListRuns,
    grace: Duration,
) -> Result<Listed, StoreError> {
    let states = list.states.as_ref().map(|states| states.iter().map(|state| *state as i16).collect::<Vec<_>>());
    let (tag, value) = list.tag.as_ref().map_or((None, None), |(tag, value)| (Some(&**tag), Some(&**value)));
    let ids = query_as::<_, (Vec<u8>, i64)>(include_str!("sql/list_runs.sql"))
        .bind(list.workflow.as_deref())
        .bind(list.version.as_deref())
        .bind(list.key.as_deref())
        .bind(list.owner.as_deref())
        .bind(tag)
        .bind(value)
        .bind(states.map(|states| format!("{states:?}")))
        .bind(list.before.map(|run| run.0))
        .bind(list.created_from.map(|time| time.timestamp_micros()))
        .bind(list.created_until.map(|time| time.timestamp_micros()))
        .bind(i64::from(list.limit))
        .bind(i64::from(list.look_at));
    let (mut fitting, mut last) = (Vec::new(), None);
    for (id, fits) in ids.fetch_all(pool).await.map_err(sorted(CALL))? {
        let Some(run) = strange.run(&id) else { continue };
        if fits == 1 { fitting.push(run) } else { last = Some(run) }
    }
    let ids: Vec<_> = fitting.iter().map(|run| format!("\"{}\"", run.0.simple())).collect();
    let (now, since) = moments(grace);
    let rows = query(RUNS_BY_ID.as_str()).bind(now).bind(since).bind(format!("[{}]", ids.join(",")));
    let rows = rows.fetch_all(pool).await.map_err(sorted(CALL))?;
    let mut listed = Listed { next: list.next(&fitting, last), ..Listed::default() };
    for row in &rows {
        let (id, workflow) = (row.try_get(0).map_err(sorted(CALL))?, lossy(CALL, row, 1)?);
        listed.add(RunId(id), &workflow, run_view(row))?;
    }
    Ok(listed)
}
