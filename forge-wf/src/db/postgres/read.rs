//! Reads, for the engine and for people.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};
use uuid::Uuid;

use super::Inner;
use super::columns::{Columns, micros};
use super::error::sorted;
use super::rows::{entry, known_version, run_view};
use super::unreadable::may_be_the_row;
use crate::model::{Digest, Payload, RunId, WorkerId};
use crate::store::{Journal, KnownVersion, RunView, StoreError, UnknownRun, Unserved};

const LOAD: &str = "load_journals";

/// The parameters of `load_journals.sql`.
fn load_columns(runs: &[(RunId, i32)], bytes: usize) -> Columns {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    Columns::new().each(runs, |(run, _)| run.0).each(runs, |(_, generation)| *generation).with(bytes)
}

/// The journals from the first on that fit in `bytes`.
pub(super) async fn load_journals(
    inner: &Inner,
    runs: &[(RunId, i32)],
    bytes: usize,
) -> Result<Vec<Journal>, StoreError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = inner.fetch(LOAD, include_str!("sql/load_journals.sql"), load_columns(runs, bytes)).await?;
    let mut journals: Vec<_> = runs
        .iter()
        .map(|(run, generation)| Journal { run: *run, generation: *generation, entries: Vec::new() })
        .collect();
    let mut last = 0;
    for row in rows {
        let place: i64 = row.try_get(0).map_err(sorted(LOAD))?;
        let place = usize::try_from(place - 1).expect("places count from 1");
        last = place + 1;
        let journal = journals.get_mut(place).expect("places count to the number of runs asked for");
        if !row.try_get_raw(1).map_err(sorted(LOAD))?.is_null() {
            journal.entries.push(entry(&row)?);
        }
    }
    // What comes after the last row has not fitted.
    journals.truncate(last);
    Ok(journals)
}

pub(super) async fn owned_runs(inner: &Inner, worker: WorkerId) -> Result<Vec<RunId>, StoreError> {
    const CALL: &str = "owned_runs";
    const OWNED: &str = "SELECT id FROM forge_wf.runs WHERE worker_id = $1 ORDER BY id";
    let rows = inner.fetch(CALL, OWNED, Columns::new().with(worker.0)).await?;
    rows.iter().map(|row| row.try_get(0).map(RunId).map_err(sorted(CALL))).collect()
}

/// Which runs a reader asks for.
#[derive(Clone)]
pub(super) enum Which {
    Ids(Vec<Uuid>),
    Key(String, String),
}

/// How much of a run a reader asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// How it stands.
    Standing,
    /// With its failure, its output and the number of its events.
    Payloads,
    /// What its row says, with its failure: nothing of its journal or its inbox is touched.
    Row,
}

/// The rows of these runs, newest first; one that does not exist is left out.
pub(super) async fn views(
    inner: &Inner,
    which: Which,
    depth: Depth,
    grace: Duration,
) -> Result<Vec<PgRow>, StoreError> {
    let (ids, workflow, key) = match which {
        Which::Ids(ids) => (ids, None, None),
        Which::Key(workflow, key) => (Vec::new(), Some(workflow), Some(key)),
    };
    let columns = Columns::new().with(ids).with(workflow).with(key).with(micros(grace));
    let columns = columns.with(depth != Depth::Standing).with(depth == Depth::Row);
    inner.fetch("run", include_str!("sql/run_view.sql"), columns).await
}

/// One run with all there is to see; what its row says, and why that is all, if the rest cannot be read.
pub(super) async fn run(inner: &Inner, which: Which, grace: Duration) -> Result<Option<RunView>, StoreError> {
    let view = async |depth| {
        views(inner, which.clone(), depth, grace).await.and_then(|rows| rows.first().map(run_view).transpose())
    };
    match view(Depth::Payloads).await {
        Err(error) if may_be_the_row(&error) => match view(Depth::Row).await {
            Ok(found) => Ok(found.map(|found| RunView { unread: Some(error.to_string()), ..found })),
            Err(_) => Err(error),
        },
        answer => answer,
    }
}

pub(super) async fn journal(inner: &Inner, run: RunId) -> Result<Option<Journal>, StoreError> {
    const CALL: &str = "journal";
    const GENERATION: &str = "SELECT generation FROM forge_wf.runs WHERE id = $1";
    let rows = inner.fetch(CALL, GENERATION, Columns::new().with(run.0)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let generation = row.try_get(0).map_err(sorted(CALL))?;
    Ok(load_journals(inner, &[(run, generation)], usize::MAX).await?.pop())
}

pub(super) async fn state(inner: &Inner, run: RunId, key: &str) -> Result<Option<Payload>, StoreError> {
    const CALL: &str = "state";
    const VALUE: &str = "SELECT value FROM forge_wf.run_state WHERE run_id = $1 AND key = $2";
    let rows = inner.fetch(CALL, VALUE, Columns::new().with(run.0).with(key)).await?;
    let read = |row: &PgRow| row.try_get::<&str, _>(0).map(Payload::from_json_text).map_err(sorted(CALL));
    rows.first().map(read).transpose()
}

pub(super) async fn unserved(inner: &Inner, grace: Duration) -> Result<Vec<Unserved>, StoreError> {
    const CALL: &str = "unserved";
    let rows = inner.fetch(CALL, include_str!("sql/unserved.sql"), Columns::new().with(micros(grace))).await?;
    let read = |row: &PgRow| {
        let versions: Option<Vec<String>> = row.try_get(4)?;
        let signatures: Option<Vec<Uuid>> = row.try_get(5)?;
        Ok(Unserved {
            workflow: row.try_get::<&str, _>(0)?.into(),
            version: row.try_get::<Option<&str>, _>(1)?.map(Arc::from),
            definition: row.try_get::<Option<Uuid>, _>(2)?.map(Digest::from_uuid),
            runs: row.try_get::<i64, _>(3)?.unsigned_abs(),
            offered: (versions.unwrap_or_default().into_iter())
                .zip(signatures.unwrap_or_default())
                .map(|(version, signature)| (version.into(), Digest::from_uuid(signature)))
                .collect(),
        })
    };
    rows.iter().map(|row| read(row).map_err(sorted(CALL))).collect()
}

pub(super) async fn unknown_runs(inner: &Inner) -> Result<Vec<UnknownRun>, StoreError> {
    const CALL: &str = "unknown_runs";
    let columns = Columns::new().with(UnknownRun::AT_MOST);
    let rows = inner.fetch(CALL, include_str!("sql/unknown_runs.sql"), columns).await?;
    let read =
        |row: &PgRow| Ok(UnknownRun::of(RunId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    rows.iter().map(|row| read(row).map_err(sorted(CALL))).collect()
}

pub(super) async fn known_versions(inner: &Inner) -> Result<Vec<KnownVersion>, StoreError> {
    const CALL: &str = "known_versions";
    let rows = inner.fetch(CALL, include_str!("sql/known_versions.sql"), Columns::new()).await?;
    rows.iter().map(known_version).collect()
}
