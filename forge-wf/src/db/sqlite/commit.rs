//! One batch of one lane, as one transaction.
//!
//! The fence comes first, so a worker that lost its lease writes nothing at all; then everything the batch holds, each kind
//! in statements over many rows ([`shapes`](super::shapes)).

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Row, query, query_scalar};
use uuid::Uuid;

use super::error::{lost, now, refused, sorted};
use super::rows::{
    ENTRY_COLUMNS, MAIL_COLUMNS, MARK_COLUMNS, RUN_COLUMNS, UPDATE_COLUMNS, bind_entry, bind_mail, bind_mark, bind_run,
    bind_update,
};
use super::shapes::Shapes;
use super::writer::Writer;
use crate::model::{Lane, RunId, WorkerId};
use crate::store::{Batch, Birth, CommitAnswer, Mark, NewMail, RunUpdate, SavedState, StoreError, Write};

const CALL: &str = "commit";

macro_rules! shapes {
    ($($name:ident = $file:literal $($more:literal)?, $columns:expr;)*) => {
        $(static $name: LazyLock<Shapes> =
            LazyLock::new(|| Shapes::new(concat!(include_str!($file), $($more)?), $columns));)*
    };
}
shapes! {
    INSERT_RUNS = "sql/insert_runs.sql", RUN_COLUMNS;
    UPDATE_RUNS = "sql/update_runs.sql", UPDATE_COLUMNS;
    UPDATE_RUNS_NAMED = "sql/update_runs.sql" "RETURNING id", UPDATE_COLUMNS;
    INSERT_ENTRIES = "sql/insert_entries.sql", ENTRY_COLUMNS;
    UPDATE_ENTRIES = "sql/update_entries.sql", ENTRY_COLUMNS;
    INSERT_MAIL = "sql/insert_mail.sql", MAIL_COLUMNS;
    MARK_MAIL = "sql/mark_mail.sql", MARK_COLUMNS;
    SAVE_STATES = "sql/save_states.sql", 4;
}

/// Applies `batch` as number `batch_no` of the lane.
pub(super) async fn commit(
    writer: &Writer,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    batch: &Batch,
) -> Result<CommitAnswer, StoreError> {
    // An update that is not ours is rare, and naming the updated rows costs a message each between the threads. So rows are
    // counted; only if some are missing is the batch undone and applied again with names.
    for named in [false, true] {
        let mut writing = writer.begin(CALL).await?;
        match apply(writing.connection(), worker, lane, batch_no, batch, named).await {
            Ok(None) => writing.undo().await,
            Ok(Some(answer)) => return writing.finish(Ok(answer)).await,
            Err(error) => return writing.finish(Err(error)).await,
        }
    }
    unreachable!("names are complete whatever is missing")
}

/// Writes the batch; `None` if rows were only counted and some are missing.
async fn apply(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    batch: &Batch,
    named: bool,
) -> Result<Option<CommitAnswer>, StoreError> {
    let fence = query(include_str!("sql/fence.sql")).bind(worker.0).bind(lane.0).bind(batch_no);
    if fence.execute(&mut *connection).await.map_err(sorted(CALL))?.rows_affected() == 0 {
        return explain(connection, worker, lane, batch_no).await.map(Some);
    }
    let now = now();
    insert_runs(connection, &batch.births, worker, now).await?;
    let not_yours = match named {
        true => update_runs_named(connection, &batch.updates, worker, now).await?,
        false if update_runs(connection, &batch.updates, worker, now).await? => Vec::new(),
        false => return Ok(None),
    };
    let starts: Vec<_> = batch.births.iter().map(start_entry).collect();
    let entries: Vec<_> = starts.iter().chain(&batch.inserts).collect();
    insert_entries(connection, &entries).await?;
    update_entries(connection, &batch.outcomes).await?;
    mark_mail(connection, &batch.marks, now).await?;
    insert_mail(connection, &batch.sent, now).await?;
    save_states(connection, &batch.states, now).await?;
    Ok(Some(CommitAnswer { not_yours }))
}

/// Why the fence stopped a batch. One that is behind the lane was applied.
async fn explain(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
) -> Result<CommitAnswer, StoreError> {
    let found = query_scalar::<_, i64>("SELECT batch_no FROM forge_wf_lanes WHERE worker_id = ?1 AND lane = ?2")
        .bind(worker.0)
        .bind(lane.0);
    match found.fetch_optional(&mut *connection).await.map_err(sorted(CALL))? {
        None => Err(lost(worker)),
        Some(found) if found >= batch_no => Ok(CommitAnswer::default()),
        Some(found) => Err(refused(CALL, format!("lane {} stands at batch {found}, {batch_no} leaves a gap", lane.0))),
    }
}

fn start_entry(birth: &Birth) -> Write {
    Write { run: birth.run.id, generation: 0, entry: birth.run.start_entry() }
}

async fn insert_runs(
    connection: &mut SqliteConnection,
    births: &[Birth],
    worker: WorkerId,
    now: i64,
) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_RUNS.cut(births) {
        let bind = |query, birth: &Birth| bind_run(query, &birth.run, &birth.image, Some(worker), now);
        piece.iter().fold(query(sql), bind).execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}

/// Whether every row was there and ours.
async fn update_runs(
    connection: &mut SqliteConnection,
    updates: &[RunUpdate],
    worker: WorkerId,
    now: i64,
) -> Result<bool, StoreError> {
    for (sql, piece) in UPDATE_RUNS.cut(updates) {
        let bound = piece.iter().fold(query(sql), |query, update| bind_update(query, update, worker, now));
        let done = bound.bind(worker.0).execute(&mut *connection).await.map_err(sorted(CALL))?;
        if done.rows_affected() != piece.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The runs whose row was not there or not ours.
async fn update_runs_named(
    connection: &mut SqliteConnection,
    updates: &[RunUpdate],
    worker: WorkerId,
    now: i64,
) -> Result<Vec<RunId>, StoreError> {
    let mut set = HashSet::with_capacity(updates.len());
    for (sql, piece) in UPDATE_RUNS_NAMED.cut(updates) {
        let bound = piece.iter().fold(query(sql), |query, update| bind_update(query, update, worker, now));
        for row in bound.bind(worker.0).fetch_all(&mut *connection).await.map_err(sorted(CALL))? {
            set.insert(RunId(row.try_get::<Uuid, _>(0).map_err(sorted(CALL))?));
        }
    }
    Ok(updates.iter().map(|update| update.run).filter(|run| !set.contains(run)).collect())
}

pub(super) async fn insert_entries(connection: &mut SqliteConnection, entries: &[&Write]) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_ENTRIES.cut(entries) {
        let bound = piece.iter().fold(query(sql), |query, write| bind_entry(query, write));
        bound.execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}

async fn update_entries(connection: &mut SqliteConnection, outcomes: &[Write]) -> Result<(), StoreError> {
    let mut found = 0;
    for (sql, piece) in UPDATE_ENTRIES.cut(outcomes) {
        let bound = piece.iter().fold(query(sql), bind_entry);
        found += bound.execute(&mut *connection).await.map_err(sorted(CALL))?.rows_affected();
    }
    // An outcome that goes nowhere would be a step run twice.
    if found != outcomes.len() as u64 {
        return Err(refused(CALL, format!("{} entries have an outcome, {found} of them have a row", outcomes.len())));
    }
    Ok(())
}

async fn mark_mail(connection: &mut SqliteConnection, marks: &[Mark], now: i64) -> Result<(), StoreError> {
    for (sql, piece) in MARK_MAIL.cut(marks) {
        let bound = piece.iter().fold(query(sql), bind_mark).bind(now).bind(now);
        bound.execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}

async fn insert_mail(connection: &mut SqliteConnection, mail: &[NewMail], now: i64) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_MAIL.cut(mail) {
        let bound = piece.iter().fold(query(sql), |query, mail| bind_mail(query, mail, now));
        bound.execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}

async fn save_states(connection: &mut SqliteConnection, states: &[SavedState], now: i64) -> Result<(), StoreError> {
    for (sql, piece) in SAVE_STATES.cut(states) {
        let bind = |query: super::rows::Bound<'static>, state: &SavedState| {
            query.bind(state.run.0).bind(state.key.clone()).bind(state.value.as_str().to_owned()).bind(now)
        };
        piece.iter().fold(query(sql), bind).execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}
