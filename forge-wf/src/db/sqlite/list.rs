//! Lists of runs for people: first their ids, then how they stand.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{query, query_scalar};
use uuid::Uuid;

use super::error::sorted;
use super::read::moments;
use super::rows::run_view;
use crate::store::{ListRuns, RunView, StoreError};

const CALL: &str = "list_runs";

static RUNS_BY_ID: LazyLock<String> = LazyLock::new(|| {
    let which = "run.id IN (SELECT unhex(value) FROM json_each(?3)) ORDER BY run.id DESC";
    include_str!("sql/run_view.sql").replace("{which}", which)
});

pub(super) async fn list(pool: &SqlitePool, list: &ListRuns, grace: Duration) -> Result<Vec<RunView>, StoreError> {
    let states = list.states.as_ref().map(|states| states.iter().map(|state| *state as i16).collect::<Vec<_>>());
    let (tag, value) = list.tag.as_ref().map_or((None, None), |(tag, value)| (Some(&**tag), Some(&**value)));
    let ids = query_scalar::<_, Uuid>(include_str!("sql/list_runs.sql"))
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
        .bind(i64::from(list.limit));
    let ids: Vec<_> = ids.fetch_all(pool).await.map_err(sorted(CALL))?;
    let ids: Vec<_> = ids.into_iter().map(|id| format!("\"{}\"", id.simple())).collect();
    let (now, since) = moments(grace);
    let rows = query(RUNS_BY_ID.as_str()).bind(now).bind(since).bind(format!("[{}]", ids.join(",")));
    rows.fetch_all(pool).await.map_err(sorted(CALL))?.iter().map(run_view).collect()
}
