//! One batch of one lane, as one transaction.
//!
//! The fence comes first, so a worker that lost its lease writes nothing at all; then everything the batch holds, each kind
//! in statements over many rows ([`shapes`](super::shapes)).

use std::collections::BTreeMap;
use std::iter;
use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_scalar};
use uuid::Uuid;

use super::error::{lost, now, refused, sorted};
use super::rows::{
    ENTRY_COLUMNS, MAIL_COLUMNS, MARK_COLUMNS, RUN_COLUMNS, UPDATE_COLUMNS, bind_entry, bind_mail, bind_mark, bind_run,
    bind_update,
};
use super::shapes::{LARGEST, Shapes};
use super::writer::Writer;
use crate::model::{Lane, RunId, WorkerId};
use crate::store::{Batch, Birth, CommitAnswer, Marked, Owned, RunUpdate, SavedState, Sent, StoreError, Write};

const CALL: &str = "commit";

macro_rules! shapes {
    ($($name:ident = $file:literal, $columns:expr;)*) => {
        $(static $name: LazyLock<Shapes> = LazyLock::new(|| Shapes::new(include_str!($file), $columns));)*
    };
}
shapes! {
    INSERT_RUNS = "sql/insert_runs.sql", RUN_COLUMNS;
    UPDATE_RUNS = "sql/update_runs.sql", UPDATE_COLUMNS;
    FENCE_OWNED = "sql/fence_owned.sql", 2;
    COUNT_OWNED = "sql/count_owned.sql", 2;
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
    batch: Batch,
) -> Result<CommitAnswer, StoreError> {
    let mut writing = writer.begin(CALL).await?;
    let answer = match apply(writing.connection(), worker, lane, batch_no, &batch).await {
        Ok(Applied::Whole) => writing.finish(Ok(CommitAnswer::default())).await?,
        // Between the two numbers: the batch that this one stands in for.
        Ok(Applied::Before(found)) if batch_no - batch.step() < found && found < batch_no => {
            writing.undo().await;
            writer.acknowledged.moved(worker, lane, found);
            return Ok(CommitAnswer { other_applied: true, ..CommitAnswer::default() });
        }
        Ok(Applied::Before(found)) => {
            writing.undo().await;
            // The writer sends a number only after the one before was acknowledged.
            writer.acknowledged.moved(worker, lane, batch_no - batch.step());
            writer.acknowledged.check_lane(worker, lane, found)?;
            CommitAnswer::default()
        }
        Ok(Applied::SomeAreNotOurs) => {
            writing.undo().await;
            commit_ours(writer, worker, lane, batch_no, batch).await?
        }
        Err(error) => return writing.finish(Err(error)).await,
    };
    writer.acknowledged.moved(worker, lane, batch_no);
    Ok(answer)
}

/// Applies the parts of those runs that the worker owns.
async fn commit_ours(
    writer: &Writer,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    batch: Batch,
) -> Result<CommitAnswer, StoreError> {
    let mut writing = writer.begin(CALL).await?;
    let answer = async |connection: &mut SqliteConnection| {
        let foreign = not_ours(connection, worker, &batch).await?;
        let ours = batch.without(&foreign.iter().copied().collect());
        match apply(connection, worker, lane, batch_no, &ours).await? {
            Applied::SomeAreNotOurs => unreachable!("what is not ours was left out in this transaction"),
            Applied::Whole | Applied::Before(_) => Ok(CommitAnswer { not_yours: foreign, other_applied: false }),
        }
    };
    let answer = answer(writing.connection()).await;
    writing.finish(answer).await
}

/// What came of a batch.
enum Applied {
    /// All of it was written.
    Whole,
    /// Nothing was written: the lane did not stand at the number before, but at this one.
    Before(i64),
    /// Some runs are not this worker's; what was written is to be undone.
    SomeAreNotOurs,
}

/// Writes the batch.
///
/// A run that is not ours is rare, and naming the rows that are costs a message each between the threads. So rows are counted.
async fn apply(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    batch: &Batch,
) -> Result<Applied, StoreError> {
    // As many of the runs as one statement holds are checked by the fence itself.
    let (first, others) = batch.owned.split_at(batch.owned.len().min(LARGEST));
    if !move_lane(connection, worker, lane, batch_no, batch.step(), first).await? {
        let found = stands_at(connection, worker, lane).await?;
        return Ok(if found == batch_no - batch.step() { Applied::SomeAreNotOurs } else { Applied::Before(found) });
    }
    let now = now();
    if !owns_all(connection, others, worker).await? {
        return Ok(Applied::SomeAreNotOurs);
    }
    // Before anything is inserted: a child of a run that is not ours may be there, of its new owner.
    if !update_runs(connection, &batch.updates, worker, now).await? {
        return Ok(Applied::SomeAreNotOurs);
    }
    insert_runs(connection, &batch.births, worker, now).await?;
    let starts: Vec<_> = batch.births.iter().map(start_entry).collect();
    let entries: Vec<_> = starts.iter().chain(&batch.inserts).collect();
    insert_entries(connection, &entries).await?;
    update_entries(connection, &batch.outcomes).await?;
    mark_mail(connection, &batch.marks, now).await?;
    insert_mail(connection, &batch.sent, now).await?;
    save_states(connection, &batch.states, now).await?;
    Ok(Applied::Whole)
}

/// The last batch of the lane.
async fn stands_at(connection: &mut SqliteConnection, worker: WorkerId, lane: Lane) -> Result<i64, StoreError> {
    let found = query_scalar::<_, i64>("SELECT batch_no FROM forge_wf_lanes WHERE worker_id = ?1 AND lane = ?2")
        .bind(worker.0)
        .bind(lane.0);
    found.fetch_optional(connection).await.map_err(sorted(CALL))?.ok_or_else(|| lost(worker))
}

/// Moves the lane on to `batch_no` if it stands `step` before that and the worker owns all of these runs; whether it did.
async fn move_lane(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    step: i64,
    owned: &[Owned],
) -> Result<bool, StoreError> {
    let fence = match FENCE_OWNED.cut_filled(owned).next() {
        None => query(include_str!("sql/fence.sql")).bind(worker.0).bind(lane.0).bind(batch_no).bind(step),
        Some((sql, runs, rows)) => filled(runs, rows)
            .fold(query(sql), |query, (run, claim_no)| query.bind(run).bind(claim_no))
            .bind(batch_no)
            .bind(worker.0)
            .bind(lane.0)
            .bind(batch_no - step)
            .bind(runs.len() as i64)
            .bind(worker.0),
    };
    Ok(fence.execute(connection).await.map_err(sorted(CALL))?.rows_affected() > 0)
}

/// Whether the worker owns all of these under their claims.
async fn owns_all(connection: &mut SqliteConnection, owned: &[Owned], worker: WorkerId) -> Result<bool, StoreError> {
    let mut count = 0;
    for (sql, runs, rows) in COUNT_OWNED.cut_filled(owned) {
        let bound = filled(runs, rows)
            .fold(query_scalar::<_, i64>(sql), |query, (run, claim_no)| query.bind(run).bind(claim_no));
        count += bound.bind(worker.0).fetch_one(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(count == owned.len() as i64)
}

/// As many rows as a statement has, the last ones of NULL.
fn filled(runs: &[Owned], rows: usize) -> impl Iterator<Item = (Option<Uuid>, Option<i64>)> {
    runs.iter().map(|it| (Some(it.run.0), Some(it.claim_no))).chain(iter::repeat((None, None))).take(rows)
}

/// The runs of this batch that the worker does not own under their claims.
async fn not_ours(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    batch: &Batch,
) -> Result<Vec<RunId>, StoreError> {
    let claims: BTreeMap<_, _> = batch.claims().collect();
    let mut foreign = Vec::new();
    for (run, claim_no) in claims {
        if !owns_all(connection, &[Owned { run, claim_no }], worker).await? {
            foreign.push(run);
        }
    }
    Ok(foreign)
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

async fn mark_mail(connection: &mut SqliteConnection, marks: &[Marked], now: i64) -> Result<(), StoreError> {
    for (sql, piece) in MARK_MAIL.cut(marks) {
        let bound = piece.iter().fold(query(sql), bind_mark).bind(now).bind(now);
        bound.execute(&mut *connection).await.map_err(sorted(CALL))?;
    }
    Ok(())
}

async fn insert_mail(connection: &mut SqliteConnection, sent: &[Sent], now: i64) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_MAIL.cut(sent) {
        let bound = piece.iter().fold(query(sql), |query, sent| bind_mail(query, &sent.mail, now));
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

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row, query};

    use super::*;
    use crate::db::sqlite::open;

    /// How many tables SQLite makes for itself each time it executes this.
    async fn own_tables(connection: &mut SqliteConnection, shapes: &'static Shapes) -> usize {
        let (statement, _) = shapes.cut(&[()]).next().unwrap();
        let steps = query(AssertSqlSafe(format!("EXPLAIN {statement}"))).fetch_all(connection).await.unwrap();
        assert!(!steps.is_empty());
        steps.iter().filter(|step| step.get::<&str, _>("opcode") == "OpenEphemeral").count()
    }

    /// SQLite makes such a table also for an index whose condition holds a list of three or more values, and fills it for each row
    /// that is written.
    #[tokio::test]
    async fn a_commit_makes_no_tables_but_those_of_its_joins() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open::open(&folder.path().join("runs.db").display().to_string()).await.unwrap();
        let mut writing = writer.begin("test").await.unwrap();
        for shapes in [&FENCE_OWNED, &COUNT_OWNED, &INSERT_RUNS, &INSERT_ENTRIES, &INSERT_MAIL, &SAVE_STATES] {
            assert_eq!(own_tables(writing.connection(), shapes).await, 0, "{shapes:?}");
        }
        // An update from a list gathers the new rows first, and remembers which old ones it has met.
        for shapes in [&UPDATE_RUNS, &UPDATE_ENTRIES, &MARK_MAIL] {
            assert_eq!(own_tables(writing.connection(), shapes).await, 2, "{shapes:?}");
        }
        writing.undo().await;
        writer.close().await;
    }
}
