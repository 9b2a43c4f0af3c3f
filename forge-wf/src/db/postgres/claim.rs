//! Starts and claims: how a run comes to be, and how a worker comes by it.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Inner;
use super::columns::{Columns, call, micros, text};
use super::error::{lost, refused, sorted};
use super::rows::{claimed_id, claimed_run};
use super::time::{time, time_or_none};
use super::unreadable::may_be_a_run;
use crate::db::singly::claim_singly;
use crate::journal::EntryKind;
use crate::model::{Digest, Lane, Phase, RunId, State, Timestamp};
use crate::store::{Claim, ClaimRequest, MailKind, NewRun, StartAnswer, StoreError};

/// How long a start waits for another transaction that is about to take the same key.
const START_PATIENCE: &str = "2s";

/// The parameters of `start_run.sql`.
pub(super) fn start_columns(run: &NewRun) -> Columns {
    Columns::new()
        .weighing(run.input.as_str().len())
        .with(run.id.0)
        .with(run.seed)
        .with(&*run.workflow)
        .with(run.version.as_deref())
        // A bound run is not known to have been asked for in this version: most are bound to whatever is active.
        .with(run.version.as_deref().filter(|_| run.definition.is_none()))
        .with(run.definition.map(Digest::to_uuid))
        .with(run.start_needs.to_uuid())
        .with(run.key.as_deref())
        .with(Phase::Forward as i16)
        .with(State::Ready as i16)
        .with(run.needs.to_uuid())
        .with(&*run.queue)
        .with(run.priority)
        .with(EntryKind::Start as i16)
        .with(micros(run.delay))
        .with(run.parent.as_ref().map(|parent| parent.run.0))
        .with(run.parent.as_ref().and_then(call))
        .with(run.owner.as_deref())
        .with(run.trace_parent.as_deref())
        .with(text(&run.tags))
        .with(run.deadline_at)
        .with(run.input.as_str())
        .with(run.timeout.map(micros))
        .with(START_PATIENCE)
}

/// What a start that wrote nothing has to look for.
pub(super) struct Wanted {
    pub(super) id: RunId,
    pub(super) workflow: std::sync::Arc<str>,
    pub(super) key: Option<std::sync::Arc<str>>,
}

/// Inserts one run, or finds the one in whose favour nothing was written.
pub(super) async fn start_run(inner: &Inner, columns: Columns, wanted: Wanted) -> Result<StartAnswer, StoreError> {
    const CALL: &str = "start_run";
    if !inner.fetch(CALL, include_str!("sql/start_run.sql"), columns).await?.is_empty() {
        return Ok(StartAnswer { id: wanted.id, created: true });
    }
    let columns = Columns::new().with(wanted.id.0).with(&*wanted.workflow).with(wanted.key.as_deref());
    match inner.fetch(CALL, include_str!("sql/find_started.sql"), columns).await?.first() {
        Some(row) => Ok(StartAnswer { id: RunId(row.try_get::<Uuid, _>(0).map_err(sorted(CALL))?), created: false }),
        None => Err(refused(CALL, format!("run {} was not inserted, and no other run stands in its way", wanted.id))),
    }
}

const CALL: &str = "claim_runs";
const TAKE: &str = concat!(include_str!("sql/claim/due.sql"), include_str!("sql/claim/take.sql"));
const LIST: &str = concat!(include_str!("sql/claim/due.sql"), include_str!("sql/claim/list.sql"));

/// The parameters of `claim/due.sql`.
fn due_columns(request: &ClaimRequest) -> Columns {
    Columns::new()
        .with(i64::from(request.slots))
        .each(&request.offers, |offer| offer.needs.to_uuid())
        .each(&request.offers, |offer| offer.definition.to_uuid())
        .each(&request.offers, |offer| &*offer.version)
        .each(&request.offers, |offer| offer.timeout.map(micros))
        .with(MailKind::LAST as i16)
        .each(&request.avoid, |run| run.0)
}

/// Gives the worker due runs, or what this claim took before.
pub(super) async fn claim_runs(inner: &Inner, request: &ClaimRequest) -> Result<Claim, StoreError> {
    let error = match claim(inner, request, None).await {
        Err(error) if may_be_a_run(&error) => error,
        answer => return answer,
    };
    let due = inner.fetch(CALL, LIST, due_columns(request)).await?;
    let due = due.iter().map(|row| row.try_get(0).map(RunId)).collect::<Result<_, _>>().map_err(sorted(CALL))?;
    let claim = |request: ClaimRequest, only| async move { claim(inner, &request, only).await }.boxed();
    claim_singly(request, due, error, may_be_a_run, claim).await
}

/// Of the runs that are due perhaps `only` this one.
async fn claim(inner: &Inner, request: &ClaimRequest, only: Option<RunId>) -> Result<Claim, StoreError> {
    let line = inner.lane(Lane::CLAIMS);
    let columns = due_columns(request)
        .with(request.worker.0)
        .with(request.claim_no)
        .each(&request.adopt, |run| run.0)
        .with(only.map(|run| run.0));
    let mut rows = line.fetch_for(inner.by(request.worker), CALL, TAKE, columns).await?;
    for fresh in [false, true] {
        let about = about(rows.first())?;
        let last = about.lane.ok_or_else(|| lost(request.worker))?;
        inner.acknowledged.check_lane(request.worker, Lane::CLAIMS, last)?;
        if about.moved || last < request.claim_no && !about.due {
            break;
        }
        if !fresh {
            // The lane was moved by an earlier attempt, perhaps one this statement waited for: a fresh look tells.
            let columns = Columns::new().with(request.worker.0).with(request.claim_no);
            rows =
                line.fetch_for(inner.by(request.worker), CALL, include_str!("sql/claimed_runs.sql"), columns).await?;
        }
    }
    let About { due, moved, now, next_due, .. } = about(rows.first())?;
    let (mut runs, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    // Runs that were taken over, by their place, and how far their journals had come by then.
    let mut suspects = Vec::new();
    for row in &rows {
        let Some(id) = claimed_id(row)? else { continue };
        match claimed_run(id, row) {
            Err(error) => unreadable.push((id, error)),
            Ok((run, entries)) => {
                if run.takeovers > 0 {
                    suspects.push((runs.len(), id, i64::from(entries)));
                }
                runs.push(run);
            }
        }
    }
    for (place, moved_on) in have_moved_on(inner, &suspects).await? {
        if moved_on {
            runs[place].takeovers = 0;
        }
    }
    if moved {
        inner.acknowledged.moved(request.worker, Lane::CLAIMS, request.claim_no);
    }
    // Others were faster to all that was due, or hold its rows.
    let contended = due && runs.is_empty() && unreadable.is_empty();
    let next_due = next_due.filter(|_| runs.is_empty());
    Ok(Claim { runs, unreadable, refused: Vec::new(), now, next_due, contended })
}

/// Of each run whether its journal holds more than at its last takeover. One whose journal cannot be read has not, as far as
/// anybody knows: it keeps the others from nothing.
async fn have_moved_on(inner: &Inner, suspects: &[(usize, RunId, i64)]) -> Result<Vec<(usize, bool)>, StoreError> {
    const PROGRESS: &str = include_str!("sql/progress.sql");
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let read = |row: &PgRow| row.try_get::<i64, _>(0).map_err(sorted(CALL));
    let mut answer = Vec::with_capacity(suspects.len());
    match inner.fetch(CALL, PROGRESS, Columns::new().each(suspects, |(_, run, _)| run.0)).await {
        Ok(rows) => {
            for ((place, _, entries), row) in suspects.iter().zip(&rows) {
                answer.push((*place, read(row)? != *entries));
            }
        }
        Err(_) => {
            for (place, run, entries) in suspects {
                let ask = async |run| inner.fetch(CALL, PROGRESS, Columns::new().with(vec![run])).await;
                let moved_on = match ask(run.0).await {
                    Ok(rows) => rows.first().map(read).transpose()?.is_some_and(|progress| progress != *entries),
                    // A database that answers nothing at all says nothing about this run: the claim is sent again.
                    Err(_) => ask(Uuid::nil()).await.map(|_| false)?,
                };
                answer.push((*place, moved_on));
            }
        }
    }
    Ok(answer)
}

/// What every row of a claim's answer says first.
struct About {
    /// The lane of claims before the claim; `None` if it is gone.
    lane: Option<i64>,
    /// Whether there was anything to take.
    due: bool,
    /// Whether the lane moved.
    moved: bool,
    now: Timestamp,
    next_due: Option<Timestamp>,
}

fn about(row: Option<&PgRow>) -> Result<About, StoreError> {
    let row = row.ok_or_else(|| refused(CALL, "an answer without a row".into()))?;
    let read = || {
        Ok(About {
            lane: row.try_get(0)?,
            due: row.try_get(1)?,
            moved: row.try_get(2)?,
            now: time(row, 3)?,
            next_due: time_or_none(row, 4)?,
        })
    };
    read().map_err(sorted(CALL))
}
