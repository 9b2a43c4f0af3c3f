//! Workers: registering, renewing, taking over and removing.

use sqlx::query;
use sqlx::query_scalar;
use sqlx::sqlite::SqliteConnection;

use super::error::{lost, micros, now, sorted, time};
use super::writer::Writer;
use crate::db::acknowledged::Acknowledged;
use crate::model::{Timestamp, WorkerId};
use crate::store::{NewWorker, Renewal, StoreError, TakenOver};

/// The one lane commits go through: there is one writer, so a second lane would only wait for the first.
pub(super) const COMMIT_LANES: i16 = 1;

pub(super) async fn register(writer: &Writer, worker: &NewWorker) -> Result<Timestamp, StoreError> {
    let mut writing = writer.begin("register_worker").await?;
    let answer = insert(writing.connection(), worker).await;
    writing.finish(answer).await
}

async fn insert(connection: &mut SqliteConnection, worker: &NewWorker) -> Result<Timestamp, StoreError> {
    let fail = sorted("register_worker");
    let (id, now) = (worker.id.0, now());
    query(include_str!("sql/insert_worker.sql"))
        .bind(id)
        .bind(worker.name.as_str())
        .bind(worker.build.clone())
        .bind(micros(worker.lease))
        .bind(now)
        .execute(&mut *connection)
        .await
        .map_err(&fail)?;
    for lane in 0..=COMMIT_LANES {
        let lanes =
            query("INSERT INTO forge_wf_lanes (worker_id, lane, batch_no) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING");
        lanes.bind(id).bind(lane).execute(&mut *connection).await.map_err(&fail)?;
    }
    for row in &worker.definitions {
        query(
            "INSERT INTO forge_wf_definitions (worker_id, workflow, version, signature, algorithm, status) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(row.workflow.clone())
        .bind(row.version.clone())
        .bind(row.signature.to_uuid())
        .bind(row.algorithm)
        .bind(row.status as i16)
        .execute(&mut *connection)
        .await
        .map_err(&fail)?;
        query(
            "INSERT INTO forge_wf_signatures (workflow, version, signature, algorithm) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(row.workflow.clone())
        .bind(row.version.clone())
        .bind(row.signature.to_uuid())
        .bind(row.algorithm)
        .execute(&mut *connection)
        .await
        .map_err(&fail)?;
    }
    for offer in &worker.offers {
        query(
            "INSERT INTO forge_wf_offers (worker_id, needs, definition, version) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(offer.needs.to_uuid())
        .bind(offer.definition.to_uuid())
        .bind(offer.version.clone())
        .execute(&mut *connection)
        .await
        .map_err(&fail)?;
    }
    let unblock = query(include_str!("sql/unblock_runs.sql")).bind(now).bind(worker.build.clone()).bind(id);
    unblock.execute(&mut *connection).await.map_err(&fail)?;
    Ok(time(now))
}

pub(super) async fn renew(writer: &Writer, worker: WorkerId) -> Result<Renewal, StoreError> {
    let number = writer.acknowledged.next_renewal(worker);
    let mut writing = writer.begin("renew_lease").await?;
    let answer = extend(writing.connection(), &writer.acknowledged, worker, number).await;
    let renewal = writing.finish(answer).await?;
    writer.acknowledged.renewed(worker, number);
    Ok(renewal)
}

async fn extend(
    connection: &mut SqliteConnection,
    acknowledged: &Acknowledged,
    worker: WorkerId,
    number: i64,
) -> Result<Renewal, StoreError> {
    let fail = sorted("renew_lease");
    let now = now();
    let found = query_scalar::<_, i64>("SELECT renewals FROM forge_wf_workers WHERE id = ?1").bind(worker.0);
    let found = found.fetch_optional(&mut *connection).await.map_err(&fail)?.ok_or_else(|| lost(worker))?;
    acknowledged.check_renewal(worker, found)?;
    let renewed = query(include_str!("sql/renew_lease.sql")).bind(worker.0).bind(now).bind(number);
    renewed.execute(&mut *connection).await.map_err(&fail)?;
    let others = "SELECT EXISTS (SELECT 1 FROM forge_wf_workers WHERE lease_until <= ?2 AND id <> ?1)";
    let others = query_scalar(others).bind(worker.0).bind(now).fetch_one(&mut *connection).await.map_err(&fail)?;
    Ok(Renewal { now: time(now), others_expired: others })
}

pub(super) async fn take_over(writer: &Writer, worker: WorkerId) -> Result<TakenOver, StoreError> {
    let mut writing = writer.begin("take_over").await?;
    let answer = inherit(writing.connection(), worker).await;
    writing.finish(answer).await
}

async fn inherit(connection: &mut SqliteConnection, worker: WorkerId) -> Result<TakenOver, StoreError> {
    let gone = "DELETE FROM forge_wf_workers WHERE lease_until <= ?2 AND id <> ?1";
    let taken = free(connection, "take_over", gone, worker).await?;
    let stray = query(include_str!("sql/notice_stray.sql")).bind(now());
    stray.execute(&mut *connection).await.map_err(sorted("take_over"))?;
    Ok(taken)
}

pub(super) async fn remove(writer: &Writer, worker: WorkerId) -> Result<(), StoreError> {
    let mut writing = writer.begin("remove_worker").await?;
    let answer = dismiss(writing.connection(), worker).await;
    writing.finish(answer).await?;
    writer.acknowledged.forget(worker);
    Ok(())
}

/// Removes a worker by this connection, in the transaction that is open on it.
pub(super) async fn dismiss(connection: &mut SqliteConnection, worker: WorkerId) -> Result<(), StoreError> {
    free(connection, "remove_worker", "DELETE FROM forge_wf_workers WHERE id = ?1", worker).await.map(drop)
}

/// Deletes workers, then frees every run whose worker is gone. Lanes, definitions and offers go with the worker's row.
async fn free(
    connection: &mut SqliteConnection,
    call: &'static str,
    gone: &'static str,
    worker: WorkerId,
) -> Result<TakenOver, StoreError> {
    let fail = sorted(call);
    let now = now();
    let workers = query(gone).bind(worker.0).bind(now).execute(&mut *connection).await.map_err(&fail)?.rows_affected();
    let orphans = query_scalar::<_, bool>(include_str!("sql/has_orphans.sql"));
    if !orphans.fetch_one(&mut *connection).await.map_err(&fail)? {
        return Ok(TakenOver { workers, runs: 0 });
    }
    let runs = query(include_str!("sql/free_runs.sql")).bind(now).execute(&mut *connection).await.map_err(&fail)?;
    Ok(TakenOver { workers, runs: runs.rows_affected() })
}
