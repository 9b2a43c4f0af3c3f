//! Reads, on connections of their own: in WAL mode they wait for no writer, and no writer waits for them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Row, query, query_as, query_scalar};
use uuid::Uuid;

use super::error::{micros, now, sorted};
use super::rows::{entry, known_version, run_view};
use super::strange::{StrangeIds, lossy};
use super::unreadable::may_be_the_row;
use crate::model::{Digest, Payload, RunId, WorkerId};
use crate::store::{Journal, KnownVersion, RunView, StoreError, UnknownRun, Unserved};

/// The journals from the first on that fit in `bytes`.
pub(super) async fn load_journals(
    pool: &SqlitePool,
    runs: &[(RunId, i32)],
    bytes: usize,
) -> Result<Vec<Journal>, StoreError> {
    let mut connection = pool.acquire().await.map_err(sorted("load_journals"))?;
    let mut journals = Vec::with_capacity(runs.len());
    let mut left = bytes;
    for (run, generation) in runs {
        let Some(journal) = load_journal(&mut connection, *run, *generation, left).await? else { break };
        left = left.saturating_sub(journal.bytes());
        journals.push(journal);
    }
    Ok(journals)
}

/// The journal, or nothing as soon as it turns out to be longer than `bytes`.
pub(super) async fn load_journal(
    connection: &mut SqliteConnection,
    run: RunId,
    generation: i32,
    bytes: usize,
) -> Result<Option<Journal>, StoreError> {
    let mut journal = Journal { run, generation, entries: Vec::new() };
    let mut length = 0_usize;
    let mut rows = query(include_str!("sql/load_journal.sql")).bind(run.0).bind(generation).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(sorted("load_journals"))? {
        let entry = entry(&row)?;
        length = length.saturating_add(entry.bytes());
        if length > bytes {
            return Ok(None);
        }
        journal.entries.push(entry);
    }
    Ok(Some(journal))
}

pub(super) async fn owned_runs(pool: &SqlitePool, worker: WorkerId) -> Result<Vec<RunId>, StoreError> {
    let ids =
        query_scalar::<_, Uuid>("SELECT id FROM forge_wf_runs WHERE worker_id = ?1 AND length(id) = 16 ORDER BY id")
            .bind(worker.0);
    Ok(ids.fetch_all(pool).await.map_err(sorted("owned_runs"))?.into_iter().map(RunId).collect())
}

const PAYLOADS: &str = "run.failure, CASE WHEN run.state = 10 THEN (SELECT ending.output FROM forge_wf_journal AS ending \
                        WHERE ending.run_id = run.id AND ending.generation = run.generation AND ending.key = 'end' AND ending.n = 0) END, \
                        (SELECT count(*) FROM (SELECT 1 FROM forge_wf_inbox AS mail \
                        WHERE mail.run_id = run.id AND mail.taken_at IS NULL AND mail.kind = 0 LIMIT 1000))";
/// The payloads that stand in the row.
const ROW_PAYLOADS: &str = "run.failure, NULL, 0";
const BY_ID: &str = "run.id = ?3";
const BY_KEY: &str = "run.workflow = ?3 AND run.key = ?4 AND run.holds_key = 1";
static RUN_BY_ID: LazyLock<String> = LazyLock::new(|| run_view_sql(BY_ID, PAYLOADS));
static RUN_BY_KEY: LazyLock<String> = LazyLock::new(|| run_view_sql(BY_KEY, PAYLOADS));
static ROW_BY_ID: LazyLock<String> = LazyLock::new(|| view_sql(BY_ID, ROW_PAYLOADS, true));
static ROW_BY_KEY: LazyLock<String> = LazyLock::new(|| view_sql(BY_KEY, ROW_PAYLOADS, true));

/// The statement for the runs that `which` says, with these payloads.
pub(super) fn run_view_sql(which: &str, payloads: &str) -> String {
    view_sql(which, payloads, false)
}

fn view_sql(which: &str, payloads: &str, row_alone: bool) -> String {
    include_str!("sql/run_view.sql")
        .replace("{which}", which)
        .replace("{payloads},", &format!("{payloads},"))
        .replace("{row_alone}", if row_alone { "1" } else { "0" })
}

/// The moment of reading, and since when a run must have been due to count as unserved.
pub(super) fn moments(grace: Duration) -> (i64, i64) {
    let now = now();
    (now, now.saturating_sub(micros(grace)))
}

pub(super) async fn run(pool: &SqlitePool, run: RunId, grace: Duration) -> Result<Option<RunView>, StoreError> {
    let (now, since) = moments(grace);
    let view = async |sql: &'static str| {
        let row = query(sql).bind(now).bind(since).bind(run.0).fetch_optional(pool).await;
        row.map_err(sorted("run"))?.as_ref().map(run_view).transpose()
    };
    or_the_row(view(RUN_BY_ID.as_str()).await, view(ROW_BY_ID.as_str())).await
}

pub(super) async fn run_by_key(
    pool: &SqlitePool,
    workflow: &str,
    key: &str,
    grace: Duration,
) -> Result<Option<RunView>, StoreError> {
    let (now, since) = moments(grace);
    let view = async |sql: &'static str| {
        let row = query(sql).bind(now).bind(since).bind(workflow).bind(key).fetch_optional(pool).await;
        row.map_err(sorted("run_by_key"))?.as_ref().map(run_view).transpose()
    };
    or_the_row(view(RUN_BY_KEY.as_str()).await, view(ROW_BY_KEY.as_str())).await
}

/// What was read of a run, or what its row says and why that is all, if the rest cannot be read.
async fn or_the_row(
    read: Result<Option<RunView>, StoreError>,
    row: impl Future<Output = Result<Option<RunView>, StoreError>>,
) -> Result<Option<RunView>, StoreError> {
    match read {
        Err(error) if may_be_the_row(&error) || matches!(error, StoreError::Corrupt { .. }) => match row.await {
            Ok(found) => Ok(found.map(|found| RunView { unread: Some(error.to_string()), ..found })),
            Err(_) => Err(error),
        },
        read => read,
    }
}

pub(super) async fn journal(pool: &SqlitePool, run: RunId) -> Result<Option<Journal>, StoreError> {
    let mut connection = pool.acquire().await.map_err(sorted("journal"))?;
    let generation = query_scalar::<_, i32>("SELECT generation FROM forge_wf_runs WHERE id = ?1").bind(run.0);
    match generation.fetch_optional(&mut *connection).await.map_err(sorted("journal"))? {
        None => Ok(None),
        Some(generation) => load_journal(&mut connection, run, generation, usize::MAX).await,
    }
}

pub(super) async fn state(pool: &SqlitePool, run: RunId, key: &str) -> Result<Option<Payload>, StoreError> {
    let value = query_scalar::<_, String>("SELECT value FROM forge_wf_run_state WHERE run_id = ?1 AND key = ?2");
    let value = value.bind(run.0).bind(key).fetch_optional(pool).await.map_err(sorted("state"))?;
    Ok(value.map(Payload::from_json_text))
}

pub(super) async fn unserved(pool: &SqlitePool, grace: Duration) -> Result<Vec<Unserved>, StoreError> {
    let fail = sorted("unserved");
    let (now, since) = moments(grace);
    let mut connection = pool.acquire().await.map_err(&fail)?;
    let groups = query(include_str!("sql/unserved.sql")).bind(now).bind(since);
    let mut found = Vec::new();
    for row in groups.fetch_all(&mut *connection).await.map_err(&fail)? {
        let workflow: Arc<str> = row.try_get::<&str, _>(0).map_err(&fail)?.into();
        let offered = query_as::<_, (String, Uuid)>(include_str!("sql/offered.sql")).bind(now).bind(workflow.clone());
        let offered = offered.fetch_all(&mut *connection).await.map_err(&fail)?;
        found.push(Unserved {
            version: row.try_get::<Option<&str>, _>(1).map_err(&fail)?.map(Arc::from),
            definition: row.try_get::<Option<Uuid>, _>(2).map_err(&fail)?.map(Digest::from_uuid),
            runs: row.try_get::<i64, _>(3).map_err(&fail)?.unsigned_abs(),
            offered: offered.into_iter().map(|(version, it)| (version.into(), Digest::from_uuid(it))).collect(),
            workflow,
        });
    }
    Ok(found)
}

pub(super) async fn unknown_runs(pool: &SqlitePool, strange: &StrangeIds) -> Result<Vec<UnknownRun>, StoreError> {
    const CALL: &str = "unknown_runs";
    let rows = query(include_str!("sql/unknown_runs.sql")).bind(UnknownRun::AT_MOST);
    let mut unknown = Vec::new();
    for row in rows.fetch_all(pool).await.map_err(sorted(CALL))? {
        let Some(run) = strange.run(row.try_get(0).map_err(sorted(CALL))?) else { continue };
        let (phase, state) = (row.try_get(2).map_err(sorted(CALL))?, row.try_get(3).map_err(sorted(CALL))?);
        unknown.push(UnknownRun::of(run, &lossy(CALL, &row, 1)?, phase, state));
    }
    Ok(unknown)
}

pub(super) async fn known_versions(pool: &SqlitePool) -> Result<Vec<KnownVersion>, StoreError> {
    let rows = query(include_str!("sql/known_versions.sql")).bind(now());
    let rows = rows.fetch_all(pool).await.map_err(sorted("known_versions"))?;
    rows.iter().map(known_version).collect()
}
