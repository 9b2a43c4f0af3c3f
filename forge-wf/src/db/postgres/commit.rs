//! One batch of one lane, as one statement in autocommit.
//!
//! The fence is part of the statement, so no lock is ever held while the server waits for this client: a worker that is
//! frozen between two commits cannot block its own takeover. The statement has four shapes, since each part costs time to
//! start even without rows (a lone entry took 0.6 ms by the smallest, 1.2 ms by the largest); parameters are numbered so that
//! a smaller shape takes the first ones of a larger.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::Row;
use uuid::Uuid;

use super::Inner;
use super::columns::Columns;
use super::error::{lost, sorted, unavailable};
use super::unreadable::is_too_slow;
use crate::model::{Lane, RunId, WorkerId};
use crate::store::{Batch, CommitAnswer, StoreError, Write};

const CALL: &str = "commit";
/// How long a row that another transaction holds is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for a batch that hurries.
const HURRY: Duration = Duration::from_millis(100);

macro_rules! shape {
    ($($part:literal),*) => { concat!($(include_str!(concat!("sql/commit/", $part, ".sql")), "\n"),*) };
}
/// New entries only: the result of a step in the middle of a run.
const ENTRIES: &str = shape!("fence", "not_ours", "entries", "answer");
/// Runs that begin to wait, are given back or end.
const UPDATES: &str = shape!("fence", "updates", "entries", "answer");
/// Runs that are born: what a busy worker sends.
const BIRTHS: &str = shape!("fence", "updates", "entries", "births", "answer");
/// Outcomes of started entries, mail, published values.
const ALL: &str = shape!("fence", "updates", "entries", "births", "rest", "answer_all");

/// A statement and its parameters, made before anything is awaited, so the batch need not be kept.
pub(super) struct Prepared {
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    step: i64,
    sql: &'static str,
    columns: Columns,
}

/// Turns a batch into a statement.
pub(super) fn prepare(worker: WorkerId, lane: Lane, batch_no: i64, batch: &Batch) -> Prepared {
    let starts: Vec<_> = batch
        .births
        .iter()
        .map(|birth| Write { run: birth.run.id, generation: 0, entry: birth.run.start_entry() })
        .collect();
    let entries: Vec<_> = starts.iter().chain(&batch.inserts).collect();
    let mut columns = Columns::new()
        .weighing(batch.bytes())
        .with(worker.0)
        .with(lane.0)
        .with(batch_no)
        .with(batch.step())
        .with(if batch.hurries { HURRY } else { PATIENCE }.as_millis() as i64)
        .guards(&batch.guards())
        .entries(&entries);
    let rest = batch.touches_all
        || !(batch.outcomes.is_empty() && batch.marks.is_empty() && batch.sent.is_empty() && batch.states.is_empty());
    let mut sql = ENTRIES;
    if rest || !batch.births.is_empty() || !batch.updates.is_empty() {
        columns = columns.updates(&batch.updates);
        sql = UPDATES;
    }
    if rest || !batch.births.is_empty() {
        columns = columns.births(&batch.births);
        sql = BIRTHS;
    }
    if rest {
        let outcomes: Vec<_> = batch.outcomes.iter().collect();
        columns = columns.entries(&outcomes).marks(&batch.marks).sent(&batch.sent).states(&batch.states);
        sql = ALL;
    }
    Prepared { worker, lane, batch_no, step: batch.step(), sql, columns }
}

/// Sends it.
pub(super) async fn commit(inner: &Inner, prepared: Prepared) -> Result<CommitAnswer, StoreError> {
    let Prepared { worker, lane, batch_no, step, sql, columns } = prepared;
    let rows = inner.lane(lane).fetch_for(inner.by(worker), CALL, sql, columns).await.map_err(busy_if_too_slow)?;
    let row = rows.first().ok_or_else(|| unavailable(CALL, "an answer without a row"))?;
    if !row.try_get::<bool, _>(0).map_err(sorted(CALL))? {
        return explain(inner, worker, lane, batch_no, step).await;
    }
    inner.acknowledged.moved(worker, lane, batch_no);
    let not_ours: Vec<Uuid> = row.try_get(1).map_err(sorted(CALL))?;
    // A parent is named again by each child that it bears in this batch.
    let not_yours: BTreeSet<_> = not_ours.into_iter().map(RunId).collect();
    Ok(CommitAnswer { not_yours: not_yours.into_iter().collect(), other_applied: false })
}

/// The same error; `Busy` if the server cancelled the statement for having taken too long: that may be the fault of one run among many,
/// as a lock may be.
fn busy_if_too_slow(error: StoreError) -> StoreError {
    let is_too_slow = is_too_slow(&error);
    match error {
        StoreError::Unavailable { call, source } if is_too_slow => StoreError::Busy { call, source },
        error => error,
    }
}

/// Why the fence stopped a batch, by a fresh look: the statement itself may have waited for the commit that moved the lane,
/// and still sees it as it was before. A batch that is behind the lane was applied.
async fn explain(
    inner: &Inner,
    worker: WorkerId,
    lane: Lane,
    batch_no: i64,
    step: i64,
) -> Result<CommitAnswer, StoreError> {
    const LANE: &str = "SELECT batch_no FROM forge_wf.lanes WHERE worker_id = $1 AND lane = $2";
    let rows =
        inner.lane(lane).fetch_for(inner.by(worker), CALL, LANE, Columns::new().with(worker.0).with(lane.0)).await?;
    let Some(row) = rows.first() else { return Err(lost(worker)) };
    match row.try_get::<i64, _>(0).map_err(sorted(CALL))? {
        found if found >= batch_no => {
            inner.acknowledged.moved(worker, lane, batch_no);
            Ok(CommitAnswer::default())
        }
        // Between the two numbers: the batch that this one stands in for.
        found if found > batch_no - step => {
            inner.acknowledged.moved(worker, lane, found);
            Ok(CommitAnswer { other_applied: true, ..CommitAnswer::default() })
        }
        // The writer sends a number only after the one before was acknowledged.
        found => {
            inner.acknowledged.moved(worker, lane, batch_no - step);
            inner.acknowledged.check_lane(worker, lane, found)?;
            Err(unavailable(CALL, "the lane was moved back meanwhile"))
        }
    }
}
