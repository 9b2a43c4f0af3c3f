//! Workers: registering, renewing, taking over and removing.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Inner;
use super::columns::{Columns, micros};
use super::error::{if_read_only, lost, sorted, unavailable};
use super::time::time;
use super::unreadable::{answer, is_too_slow, may_be_a_run, may_be_the_row};
use crate::db::singly::{Freed, tell_of_blocked, write_in_halves};
use crate::model::{RunId, Timestamp, WorkerId};
use crate::store::address::Opening;
use crate::store::{LeaseAhead, NewWorker, Renewal, StoreError, TakenOver};

/// How many lanes a worker commits through: while one commit waits for the disk, the next is on its way.
pub(super) const COMMIT_LANES: i16 = 2;

pub(super) async fn register(inner: &Inner, worker: &NewWorker) -> Result<Timestamp, StoreError> {
    const CALL: &str = "register_worker";
    if !inner.opener.has_workers() {
        find_limits(inner).await?;
    }
    let columns = Columns::new()
        .with(worker.id.0)
        .with(worker.name.as_str())
        .with(&*worker.build)
        .with(micros(worker.lease))
        .with(i32::from(COMMIT_LANES))
        .each(&worker.definitions, |it| &*it.workflow)
        .each(&worker.definitions, |it| &*it.version)
        .each(&worker.definitions, |it| it.signature.to_uuid())
        .each(&worker.definitions, |it| it.algorithm)
        .each(&worker.offers, |it| it.needs.to_uuid())
        .each(&worker.offers, |it| it.definition.to_uuid())
        .each(&worker.offers, |it| &*it.version)
        .each(&worker.definitions, |it| it.status as i16);
    let rows = inner.fetch(CALL, include_str!("sql/register_worker.sql"), columns).await;
    // A client may read from a server that is read-only. A worker is no use there.
    let rows = rows.map_err(|error| if_read_only(error, &inner.place))?;
    inner.opener.require_primary();
    let row = rows.first().ok_or_else(|| unavailable(CALL, "an answer without a row"))?;
    let now = time(row, 0).map_err(sorted(CALL))?;
    unblock(inner, worker).await?;
    Ok(now)
}

/// Makes ready what was blocked by the code of another build and what the worker offers. A statement of its own: a run that the database
/// refuses to change keeps no worker from being registered, and no other run blocked.
async fn unblock(inner: &Inner, worker: &NewWorker) -> Result<(), StoreError> {
    const CALL: &str = "register_worker";
    const MAKE_READY: &str =
        concat!(include_str!("sql/unblock/blocked.sql"), include_str!("sql/unblock/make_ready.sql"));
    const LIST: &str = concat!(include_str!("sql/unblock/blocked.sql"), include_str!("sql/unblock/list.sql"));
    let columns = |only: Option<Vec<RunId>>| {
        let needs = Columns::new().with(&*worker.build).each(&worker.offers, |it| it.needs.to_uuid());
        needs.with(only.map(|runs| runs.iter().map(|run| run.0).collect::<Vec<_>>()))
    };
    match inner.fetch(CALL, MAKE_READY, columns(None)).await {
        Err(error) if may_be_a_run(&error) => {
            tracing::warn!(worker = %worker.id, %error, "the database refuses to unblock runs; unblocking them in smaller pieces");
        }
        answer => return answer.map(drop),
    }
    let blocked = inner.fetch(CALL, LIST, columns(None)).await?;
    let blocked =
        blocked.iter().map(|row| row.try_get(0).map(RunId)).collect::<Result<_, _>>().map_err(sorted(CALL))?;
    let write = |runs| {
        let rows = inner.fetch(CALL, MAKE_READY, columns(Some(runs)));
        async move { Ok(rows.await?.len() as u64) }.boxed()
    };
    tell_of_blocked(&write_in_halves(blocked, may_be_a_run, write).await?);
    Ok(())
}

/// Refuses to serve where the server itself says that it has too few connections for a worker. A server that does not say is believed to
/// have enough.
async fn find_limits(inner: &Inner) -> Result<(), StoreError> {
    // Behind a pooler other connections count than ours.
    if inner.opener.is_pooled() {
        return Ok(());
    }
    let Ok(rows) = inner.fetch("find_limits", include_str!("sql/limits.sql"), Columns::new()).await else {
        return Ok(());
    };
    for (column, whose) in [(0, "the role may hold"), (1, "the database allows"), (2, "the server has")] {
        let limit = rows.first().and_then(|row| row.try_get::<Option<i32>, _>(column).ok().flatten());
        if let Some(limit) = limit.filter(|limit| i64::from(*limit) < i64::from(Opening::CONNECTIONS_MIN)) {
            let (needed, place) = (Opening::CONNECTIONS_MIN, &inner.place);
            let what = format!(
                "PostgreSQL at {place}: {whose} {limit} connections, and a worker needs at least {needed}; raise {} to {needed} or more",
                ["the CONNECTION LIMIT of the role", "the CONNECTION LIMIT of the database", "max_connections"][column]
            );
            return Err(StoreError::Misconfigured { what });
        }
    }
    Ok(())
}

/// Uses the line of leases, which nothing else does.
pub(super) async fn renew(inner: &Inner, worker: WorkerId) -> Result<Renewal, StoreError> {
    const CALL: &str = "renew_lease";
    const NUMBER: &str = "SELECT renewals FROM forge_wf.workers WHERE id = $1";
    let number = inner.acknowledged.next_renewal(worker);
    let columns = Columns::new().with(worker.0).with(number);
    let rows = inner.leases.fetch_for(inner.by(worker), CALL, include_str!("sql/renew_lease.sql"), columns).await?;
    if let Some(row) = rows.first() {
        inner.acknowledged.renewed(worker, number);
        let read = || Ok(Renewal { now: time(row, 0)?, others_expired: row.try_get(1)? });
        return read().map_err(sorted(CALL));
    }
    let rows = inner.leases.fetch_for(inner.by(worker), CALL, NUMBER, Columns::new().with(worker.0)).await?;
    let row = rows.first().ok_or_else(|| lost(worker))?;
    inner.acknowledged.check_renewal(worker, row.try_get(0).map_err(sorted(CALL))?)?;
    Err(unavailable(CALL, "another renewal of this worker came in between"))
}

/// Runs that one statement frees: well under a second of work, whatever else the server does.
const FREED_AT_ONCE: i64 = 1_000;
/// By how much the next statement is smaller after one that the server cancelled because it took too long.
const SMALLER: i64 = 10;
/// Runs that are looked at one by one after such a statement has failed.
const FREED_SINGLY: i64 = 200;

/// One piece of a takeover. Each statement is a transaction of its own. Deleting a worker takes its lanes along, and waits for a commit
/// that holds one; so when its runs are freed, all it wrote is there, and nothing more will come.
///
/// A worker whose runs cannot be freed stops no other: its error is returned only when nothing was freed at all.
pub(super) async fn take_over(inner: &Inner, worker: WorkerId) -> Result<TakenOver, StoreError> {
    const CALL: &str = "take_over";
    let buried = inner.fetch(CALL, include_str!("sql/bury_workers.sql"), Columns::new().with(worker.0)).await?;
    let mut taken = TakenOver { workers: buried.len() as u64, ..TakenOver::default() };
    let (mut failed, mut tried) = (None, 0);
    for row in inner.fetch(CALL, include_str!("sql/gone_workers.sql"), Columns::new()).await? {
        let gone: Uuid = row.try_get(0).map_err(sorted(CALL))?;
        if let Err(error) = free_runs_of(inner, CALL, gone, &mut taken, &mut tried).await {
            tracing::warn!(worker = %gone, %error, "the runs of a dead worker could not be freed; trying again");
            // Without an answer there is none about the others either.
            taken.more |= !is_an_answer(&error);
            failed = Some(error);
        }
        if taken.more {
            break;
        }
    }
    if taken.runs > 0 {
        // It names no sender, so workers of this very store hear it too.
        inner.fetch(CALL, "SELECT pg_notify('forge_wf', '')", Columns::new()).await?;
    }
    if !taken.more
        && let Err(error) = inner.fetch(CALL, include_str!("sql/notice_stray.sql"), Columns::new()).await
    {
        tracing::warn!(%error, "mail of runs that have ended could not be marked; trying again");
    }
    match failed {
        Some(error) if taken.runs == 0 => return Err(error),
        // What is left is tried again by the next piece.
        Some(_) => taken.more = true,
        None => {}
    }
    Ok(taken)
}

/// Frees runs of one worker that has died, until none is left or the piece is full.
async fn free_runs_of(
    inner: &Inner,
    call: &'static str,
    worker: Uuid,
    taken: &mut TakenOver,
    tried: &mut u64,
) -> Result<(), StoreError> {
    let mut gone = Gone::of(inner, call, worker, true).await?;
    while !taken.more {
        let freed = gone.free().await?;
        if freed.tried == 0 {
            break;
        }
        taken.runs += freed.runs;
        *tried += freed.tried;
        // Runs that are refused cost a new connection each.
        taken.more = *tried >= FREED_AT_ONCE.unsigned_abs() || freed.runs < freed.tried;
    }
    Ok(())
}

/// Whether the server answered, so that it may answer otherwise when it is asked about another worker.
fn is_an_answer(error: &StoreError) -> bool {
    matches!(error, StoreError::Busy { .. }) || answer(error).is_some()
}

pub(super) async fn leases_ahead(inner: &Inner, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError> {
    const CALL: &str = "leases_ahead";
    let read = |row: &PgRow| {
        let length = Duration::from_micros(row.try_get::<i64, _>(2)?.unsigned_abs());
        Ok(LeaseAhead { worker: WorkerId(row.try_get(0)?), until: time(row, 1)?, length })
    };
    let rows = inner.fetch(CALL, include_str!("sql/leases_ahead.sql"), Columns::new().with(worker.0)).await?;
    rows.iter().map(|row| read(row).map_err(sorted(CALL))).collect()
}

pub(super) async fn end_lease(inner: &Inner, lease: LeaseAhead) -> Result<bool, StoreError> {
    let columns = Columns::new().with(lease.worker.0).with(lease.until);
    Ok(!inner.fetch("end_lease", include_str!("sql/end_lease.sql"), columns).await?.is_empty())
}

/// Takes the right to write away first, by deleting the lanes. The worker's own row goes last: while it stands, no other worker frees
/// these runs as those of one that died. If this ends half-way, the rest is freed when the lease is over.
pub(super) async fn remove(inner: &Inner, worker: WorkerId) -> Result<(), StoreError> {
    const CALL: &str = "remove_worker";
    const LANES: &str = "DELETE FROM forge_wf.lanes WHERE worker_id = $1";
    const ROW: &str = "DELETE FROM forge_wf.workers WHERE id = $1";
    inner.fetch(CALL, LANES, Columns::new().with(worker.0)).await?;
    let mut gone = Gone::of(inner, CALL, worker.0, false).await?;
    let (mut freed, mut refused) = (0, 0);
    // A takeover tries the rest again.
    while refused < FREED_AT_ONCE.unsigned_abs() {
        match gone.free().await? {
            Freed { tried: 0, .. } => break,
            Freed { runs, tried } => (freed, refused) = (freed + runs, refused + tried - runs.min(tried)),
        }
    }
    inner.fetch(CALL, ROW, Columns::new().with(worker.0)).await?;
    if freed > 0 {
        inner.fetch(CALL, "SELECT pg_notify('forge_wf', '')", Columns::new()).await?;
    }
    inner.acknowledged.forget(worker);
    Ok(())
}

/// A worker that writes nothing more: its row is gone, or its lanes are.
struct Gone<'i> {
    inner: &'i Inner,
    call: &'static str,
    worker: Uuid,
    /// Whether it has died, perhaps of a run that it was executing. One that signs off has not.
    died: bool,
    /// Whether it was executing a run that other workers had died of.
    had_suspect: bool,
    /// How many runs the next statement frees.
    piece: i64,
}

impl<'i> Gone<'i> {
    async fn of(inner: &'i Inner, call: &'static str, worker: Uuid, died: bool) -> Result<Self, StoreError> {
        let columns = Columns::new().with(worker);
        let had_suspect = match inner.fetch(call, include_str!("sql/executed_suspect.sql"), columns).await {
            // Its journal cannot be read, and so says nothing.
            Err(error) if may_be_the_row(&error) || is_too_slow(&error) => false,
            rows => rows?.first().map(|row| row.try_get(0)).transpose().map_err(sorted(call))?.unwrap_or_default(),
        };
        Ok(Self { inner, call, worker, died, had_suspect, piece: FREED_AT_ONCE })
    }

    /// Frees some of its runs, but none that was refused a while ago. A run whose journal cannot be read keeps no other from being
    /// freed. A statement that takes too long is followed by smaller ones.
    async fn free(&mut self) -> Result<Freed, StoreError> {
        loop {
            match self.free_up_to(self.piece, None).await {
                Err(error) if is_too_slow(&error) && self.piece > 1 => {
                    self.piece = (self.piece / SMALLER).max(1);
                    tracing::warn!(worker = %self.worker, %error, at_once = self.piece, "freeing fewer runs of a dead worker at once");
                }
                Err(error) if may_be_the_row(&error) || is_too_slow(&error) => {
                    tracing::warn!(worker = %self.worker, %error, "runs of a dead worker could not be freed; trying one by one");
                    return self.free_singly().await;
                }
                answer => return answer.map(Freed::all),
            }
        }
    }

    async fn free_up_to(&self, limit: i64, only: Option<Uuid>) -> Result<u64, StoreError> {
        let columns = Columns::new().with(self.worker).with(limit).with(self.had_suspect).with(only).with(self.died);
        let columns = columns.each(&self.inner.not_freed.recent(), |run| run.0);
        let rows = self.inner.fetch(self.call, include_str!("sql/free_runs.sql"), columns).await?;
        let freed = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose().map_err(sorted(self.call))?;
        Ok(freed.unwrap_or_default().unsigned_abs())
    }

    /// A run that the database refuses to change is left as it is, and not tried again for a while.
    async fn free_singly(&self) -> Result<Freed, StoreError> {
        let not_freed = &self.inner.not_freed;
        let columns = Columns::new().with(self.worker).with(FREED_SINGLY).each(&not_freed.recent(), |run| run.0);
        let mut freed = Freed::default();
        for row in self.inner.fetch(self.call, include_str!("sql/owned_by_gone.sql"), columns).await? {
            let run: Uuid = row.try_get(0).map_err(sorted(self.call))?;
            freed.tried += 1;
            freed.runs += match self.free_up_to(1, Some(run)).await {
                Err(error) if may_be_the_row(&error) || is_too_slow(&error) => {
                    let columns = Columns::new().with(self.worker).with(run);
                    match self.inner.fetch(self.call, include_str!("sql/free_unread.sql"), columns).await {
                        Err(error) if may_be_the_row(&error) => {
                            tracing::error!(%run, %error, "the row of this run cannot be written; it is left as it is for some minutes");
                            not_freed.add(RunId(run));
                            0
                        }
                        answer => {
                            let rows = answer?;
                            tracing::error!(%run, %error, "the journal of this run cannot be read; it was freed all the same");
                            rows.len() as u64
                        }
                    }
                }
                answer => answer?,
            };
        }
        Ok(freed)
    }
}
