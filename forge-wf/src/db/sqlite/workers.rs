//! Workers: registering, renewing, taking over and removing.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::error::{lost, micros, now, sorted, time};
use super::mail;
use super::unreadable::may_be_the_row;
use super::writer::Writer;
use crate::db::acknowledged::Acknowledged;
use crate::db::singly::{Freed, tell_of_blocked, write_in_halves};
use crate::model::{RunId, Timestamp, WorkerId};
use crate::store::{LeaseAhead, NewWorker, Renewal, StoreError, TakenOver};

/// The one lane commits go through: there is one writer, so a second lane would only wait for the first.
pub(super) const COMMIT_LANES: i16 = 1;

pub(super) async fn register(writer: &Writer, worker: &NewWorker) -> Result<Timestamp, StoreError> {
    let mut writing = writer.begin("register_worker").await?;
    let answer = insert(writing.connection(), worker).await;
    let now = writing.finish(answer).await?;
    unblock(writer, worker).await?;
    Ok(now)
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
    Ok(time(now))
}

/// Makes ready what was blocked by the code of another build and what the worker offers. A transaction of its own: a run that the
/// database refuses to change keeps no worker from being registered, and no other run blocked.
async fn unblock(writer: &Writer, worker: &NewWorker) -> Result<(), StoreError> {
    const CALL: &str = "register_worker";
    const LIST: &str = concat!(include_str!("sql/unblock/blocked.sql"), include_str!("sql/unblock/list.sql"));
    match make_ready(writer, worker, None).await {
        Err(error) if may_be_the_row(&error) => {
            tracing::warn!(worker = %worker.id, %error, "the database refuses to unblock runs; unblocking them in smaller pieces");
        }
        answer => return answer.map(drop),
    }
    let mut writing = writer.begin(CALL).await?;
    let blocked = query_scalar::<_, Uuid>(LIST).bind(worker.build.clone()).bind(worker.id.0).bind(None::<String>);
    let blocked = blocked.fetch_all(writing.connection()).await.map_err(sorted(CALL));
    let blocked = writing.finish(blocked).await?.into_iter().map(RunId).collect();
    let write = |runs: Vec<RunId>| async move { make_ready(writer, worker, Some(&runs)).await }.boxed();
    tell_of_blocked(&write_in_halves(blocked, may_be_the_row, write).await?);
    Ok(())
}

async fn make_ready(writer: &Writer, worker: &NewWorker, only: Option<&[RunId]>) -> Result<u64, StoreError> {
    const CALL: &str = "register_worker";
    const MAKE_READY: &str =
        concat!(include_str!("sql/unblock/blocked.sql"), include_str!("sql/unblock/make_ready.sql"));
    let mut writing = writer.begin(CALL).await?;
    let ready = query(MAKE_READY).bind(worker.build.clone()).bind(worker.id.0).bind(only.map(mail::list)).bind(now());
    let ready = ready.execute(writing.connection()).await.map_err(sorted(CALL));
    Ok(writing.finish(ready).await?.rows_affected())
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

/// Runs that one transaction frees. Nobody else writes meanwhile, so it is short.
const FREED_AT_ONCE: i64 = 1_000;
/// Runs that are looked at one by one after such a transaction has failed.
const FREED_SINGLY: i64 = 200;

/// One piece of a takeover. Lanes, definitions and offers go with the worker's row; so when its runs are freed, nothing more of it comes.
pub(super) async fn take_over(writer: &Writer, worker: WorkerId) -> Result<TakenOver, StoreError> {
    const CALL: &str = "take_over";
    let mut writing = writer.begin(CALL).await?;
    let buried = bury(writing.connection(), worker).await;
    let (workers, gone) = writing.finish(buried).await?;
    let mut taken = TakenOver { workers, ..TakenOver::default() };
    let mut tried = 0;
    'gone: for gone in gone {
        loop {
            let freed = free(writer, CALL, gone, true).await?;
            taken.runs += freed.runs;
            tried += freed.tried;
            if tried >= FREED_AT_ONCE.unsigned_abs() || freed.runs < freed.tried {
                taken.more = true;
                break 'gone;
            }
            if freed.tried == 0 {
                break;
            }
        }
    }
    if !taken.more
        && let Err(error) = notice_stray(writer).await
    {
        tracing::warn!(%error, "mail of runs that have ended could not be marked; trying again");
    }
    Ok(taken)
}

/// Deletes workers whose lease expired: how many, and which workers own runs and are gone, be it since an earlier takeover.
async fn bury(connection: &mut SqliteConnection, worker: WorkerId) -> Result<(u64, Vec<Uuid>), StoreError> {
    let fail = sorted("take_over");
    let bury = query("DELETE FROM forge_wf_workers WHERE lease_until <= ?2 AND id <> ?1").bind(worker.0).bind(now());
    let buried = bury.execute(&mut *connection).await.map_err(&fail)?.rows_affected();
    let gone = query_scalar::<_, Uuid>(include_str!("sql/gone_workers.sql"));
    Ok((buried, gone.fetch_all(&mut *connection).await.map_err(&fail)?))
}

async fn notice_stray(writer: &Writer) -> Result<(), StoreError> {
    let mut writing = writer.begin("take_over").await?;
    let stray = query(include_str!("sql/notice_stray.sql")).bind(now());
    let answer = stray.execute(writing.connection()).await.map(drop).map_err(sorted("take_over"));
    writing.finish(answer).await
}

pub(super) async fn leases_ahead(pool: &SqlitePool, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError> {
    const AHEAD: &str =
        "SELECT id, lease_until, lease_micros FROM forge_wf_workers WHERE id <> ?1 AND lease_until > ?2 + lease_micros";
    let rows = query_as::<_, (Uuid, i64, i64)>(AHEAD).bind(worker.0).bind(now()).fetch_all(pool).await;
    let lease = |(worker, until, length): (Uuid, i64, i64)| LeaseAhead {
        worker: WorkerId(worker),
        until: time(until),
        length: Duration::from_micros(length.unsigned_abs()),
    };
    Ok(rows.map_err(sorted("leases_ahead"))?.into_iter().map(lease).collect())
}

pub(super) async fn end_lease(writer: &Writer, lease: LeaseAhead) -> Result<bool, StoreError> {
    const CALL: &str = "end_lease";
    let mut writing = writer.begin(CALL).await?;
    let end = query("UPDATE forge_wf_workers SET lease_until = ?3 WHERE id = ?1 AND lease_until = ?2");
    let end = end.bind(lease.worker.0).bind(lease.until.timestamp_micros()).bind(now());
    let ended = end.execute(writing.connection()).await.map_err(sorted(CALL));
    Ok(writing.finish(ended).await?.rows_affected() > 0)
}

/// Takes the right to write away first, by deleting the lanes. The worker's own row goes last: while it stands, no other worker frees
/// these runs as those of one that died. If this ends half-way, the rest is freed when the lease is over.
pub(super) async fn remove(writer: &Writer, worker: WorkerId) -> Result<(), StoreError> {
    const CALL: &str = "remove_worker";
    let mut writing = writer.begin(CALL).await?;
    let lanes = query("DELETE FROM forge_wf_lanes WHERE worker_id = ?1").bind(worker.0);
    let silenced = lanes.execute(writing.connection()).await.map(drop).map_err(sorted(CALL));
    writing.finish(silenced).await?;
    let mut refused = 0;
    // A takeover tries the rest again.
    while refused < FREED_AT_ONCE.unsigned_abs() {
        match free(writer, CALL, worker.0, false).await? {
            Freed { tried: 0, .. } => break,
            Freed { runs, tried } => refused += tried - runs.min(tried),
        }
    }
    let mut writing = writer.begin(CALL).await?;
    let removed = delete(writing.connection(), worker).await;
    writing.finish(removed).await?;
    writer.acknowledged.forget(worker);
    Ok(())
}

async fn delete(connection: &mut SqliteConnection, worker: WorkerId) -> Result<(), StoreError> {
    let delete = query("DELETE FROM forge_wf_workers WHERE id = ?1").bind(worker.0);
    delete.execute(connection).await.map(drop).map_err(sorted("remove_worker"))
}

/// Removes a worker by this connection, in the transaction that is open on it. Runs that cannot be freed are left to a takeover.
pub(super) async fn dismiss(connection: &mut SqliteConnection, worker: WorkerId) -> Result<(), StoreError> {
    delete(connection, worker).await?;
    loop {
        match free_some(connection, "remove_worker", worker.0, false, Which::All { but: &[] }).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if may_be_the_row(&error) => {
                tracing::warn!(%worker, %error, "runs of a former worker could not be freed; a takeover tries again");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Frees some runs of a worker that writes nothing more, but none that was refused a while ago. One that has `died` may have died of a run.
/// A run whose journal cannot be read keeps no other from being freed. One that SQLite refuses to change is left as it is, and not tried
/// again for a while.
async fn free(writer: &Writer, call: &'static str, gone: Uuid, died: bool) -> Result<Freed, StoreError> {
    let refused = writer.not_freed.recent();
    let mut writing = writer.begin(call).await?;
    let freed = free_some(writing.connection(), call, gone, died, Which::All { but: &refused }).await;
    let error = match writing.finish(freed).await {
        Err(error) if may_be_the_row(&error) => error,
        answer => return answer.map(Freed::all),
    };
    tracing::warn!(worker = %gone, %error, "runs of a dead worker could not be freed; trying one by one");
    let mut writing = writer.begin(call).await?;
    let owned = query_scalar::<_, Uuid>(include_str!("sql/owned_by_gone.sql")).bind(gone).bind(FREED_SINGLY);
    let owned = owned.bind(mail::list(&refused)).fetch_all(writing.connection()).await.map_err(sorted(call));
    let mut freed = Freed::default();
    for run in writing.finish(owned).await? {
        let mut writing = writer.begin(call).await?;
        let one = free_some(writing.connection(), call, gone, died, Which::Only(run)).await;
        freed.tried += 1;
        freed.runs += match writing.finish(one).await {
            Err(error) if may_be_the_row(&error) => {
                let mut writing = writer.begin(call).await?;
                let unread = query(include_str!("sql/free_unread.sql")).bind(now()).bind(gone).bind(run);
                let unread = unread.execute(writing.connection()).await.map_err(sorted(call));
                match writing.finish(unread).await {
                    Err(error) if may_be_the_row(&error) => {
                        tracing::error!(%run, %error, "the row of this run cannot be written; it is left as it is for some minutes");
                        writer.not_freed.add(RunId(run));
                        0
                    }
                    answer => {
                        let runs = answer?.rows_affected();
                        tracing::error!(%run, %error, "the journal of this run cannot be read; it was freed all the same");
                        runs
                    }
                }
            }
            answer => answer?,
        };
    }
    Ok(freed)
}

/// Which runs of a worker are freed.
enum Which<'r> {
    /// As many as one transaction frees, but none of these.
    All {
        but: &'r [RunId],
    },
    Only(Uuid),
}

/// Suspects are freed last, so whether there was one is known until the others are free.
async fn free_some(
    connection: &mut SqliteConnection,
    call: &'static str,
    gone: Uuid,
    died: bool,
    which: Which<'_>,
) -> Result<u64, StoreError> {
    let (limit, only, but) = match which {
        Which::All { but } => (FREED_AT_ONCE, None, but),
        Which::Only(run) => (1, Some(run), [].as_slice()),
    };
    let suspect = query_scalar::<_, bool>(include_str!("sql/executed_suspect.sql")).bind(gone);
    // If its journal cannot be read it says nothing.
    let had_suspect = suspect.fetch_one(&mut *connection).await.unwrap_or_default();
    for taken_over_twice in [false, true] {
        let free = query(include_str!("sql/free_runs.sql")).bind(now()).bind(gone).bind(limit).bind(had_suspect);
        let free = free.bind(only).bind(taken_over_twice).bind(died).bind(mail::list(but));
        let freed = free.execute(&mut *connection).await.map_err(sorted(call))?.rows_affected();
        if freed > 0 {
            return Ok(freed);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::{AssertSqlSafe, Connection, raw_sql};

    use crate::db::sqlite::SqliteStore;
    use crate::store::conformance::support::*;
    use crate::store::{Batch, Birth, Store};

    #[tokio::test]
    async fn a_run_that_cannot_be_written_keeps_no_other_of_its_dead_worker() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("runs.db").display());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&url).await.unwrap());
        let (heir, mut dead) = (Hand::new(&store).await, Hand::expired(&store).await);
        let births: Vec<_> = (0..3).map(|_| Birth { run: bound(), image: executing() }).collect();
        let runs: Vec<_> = births.iter().map(|birth| birth.run.id).collect();
        dead.commit(Batch { births, ..Batch::default() }).await;
        let [refused, innocent, suspect] = runs[..] else { unreachable!() };
        let (refused_id, suspect_id) = (refused.0.simple(), suspect.0.simple());
        let sql = format!(
            "UPDATE forge_wf_runs SET takeovers = 2, takeover_entries = 2 WHERE id = x'{suspect_id}';
             CREATE TRIGGER refuses BEFORE UPDATE ON forge_wf_runs WHEN NEW.id = x'{refused_id}'
                 BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
        raw_sql(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
        assert_eq!(store.take_over(heir.id).await.unwrap().runs, 2);
        let mut left = Vec::new();
        for run in [refused, innocent, suspect] {
            let view = view(&store, run).await;
            left.push((view.worker.is_some(), view.takeovers));
        }
        assert_eq!(left, [(true, 0), (false, 0), (false, 3)]);
        store.close().await;
    }

    #[tokio::test]
    async fn a_worker_that_signs_off_stands_until_its_runs_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("runs.db").display());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&url).await.unwrap());
        let mut leaving = Hand::new(&store).await;
        let run = bound();
        let id = run.id;
        leaving.bear(run).await;
        // Meanwhile another worker must not find that it is gone: it would free the runs as those of one that died.
        let refuse = "CREATE TRIGGER refuses BEFORE UPDATE ON forge_wf_runs
            WHEN NOT EXISTS (SELECT 1 FROM forge_wf_workers AS it WHERE it.id = OLD.worker_id)
            BEGIN SELECT RAISE(ABORT, 'no'); END";
        let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
        raw_sql(refuse).execute(&mut other).await.unwrap();
        store.remove_worker(leaving.id).await.unwrap();
        assert!(view(&store, id).await.worker.is_none());
        assert!(is_lost(&store.renew_lease(leaving.id).await));
        store.close().await;
    }
}
