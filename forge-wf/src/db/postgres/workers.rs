//! Workers: registering, renewing, taking over and removing.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row, query, query_scalar};

use super::Inner;
use super::columns::{Columns, micros};
use super::connect::BEGIN;
use super::error::{if_read_only, lost, sorted, unavailable};
use crate::model::{Timestamp, WorkerId};
use crate::store::{NewWorker, Renewal, StoreError, TakenOver};

/// How many lanes a worker commits through: while one commit waits for the disk, the next is on its way.
pub(super) const COMMIT_LANES: i16 = 2;

pub(super) async fn register(inner: &Inner, worker: &NewWorker) -> Result<Timestamp, StoreError> {
    const CALL: &str = "register_worker";
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
    let row = rows.first().ok_or_else(|| unavailable(CALL, "an answer without a row"))?;
    row.try_get(0).map_err(sorted(CALL))
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
        let read = || Ok(Renewal { now: row.try_get(0)?, others_expired: row.try_get(1)? });
        return read().map_err(sorted(CALL));
    }
    let rows = inner.leases.fetch_for(inner.by(worker), CALL, NUMBER, Columns::new().with(worker.0)).await?;
    let row = rows.first().ok_or_else(|| lost(worker))?;
    inner.acknowledged.check_renewal(worker, row.try_get(0).map_err(sorted(CALL))?)?;
    Err(unavailable(CALL, "another renewal of this worker came in between"))
}

pub(super) async fn take_over(inner: &Inner, worker: WorkerId) -> Result<TakenOver, StoreError> {
    async fn work(connection: &mut PgConnection, worker: WorkerId) -> Result<TakenOver, sqlx::Error> {
        let mut transaction = connection.begin_with(BEGIN).await?;
        let taken = free(&mut transaction, include_str!("sql/bury_workers.sql"), worker).await?;
        query(include_str!("sql/notice_stray.sql")).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(taken)
    }
    inner.borrow("take_over", |connection| Box::pin(work(connection, worker))).await
}

pub(super) async fn remove(inner: &Inner, worker: WorkerId) -> Result<(), StoreError> {
    async fn work(connection: &mut PgConnection, worker: WorkerId) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin_with(BEGIN).await?;
        free(&mut transaction, "DELETE FROM forge_wf.workers WHERE id = $1", worker).await?;
        transaction.commit().await
    }
    inner.borrow("remove_worker", |connection| Box::pin(work(connection, worker))).await?;
    inner.acknowledged.forget(worker);
    Ok(())
}

/// Deletes workers, then frees every run whose worker is gone, in one transaction of two statements. Between them a commit of
/// a deleted worker cannot slip in: deleting takes its lanes along, and waits for a commit that holds one. The second
/// statement looks afresh, so it sees what that commit wrote.
async fn free(transaction: &mut PgConnection, gone: &'static str, worker: WorkerId) -> Result<TakenOver, sqlx::Error> {
    let workers = query(gone).bind(worker.0).execute(&mut *transaction).await?.rows_affected();
    let runs: i64 = query_scalar(include_str!("sql/free_runs.sql")).fetch_one(&mut *transaction).await?;
    if runs > 0 {
        // Rare enough to be part of the transaction. It names no sender, so workers of this very store hear it too.
        query("SELECT pg_notify('forge_wf', '')").execute(&mut *transaction).await?;
    }
    Ok(TakenOver { workers, runs: runs.unsigned_abs() })
}
