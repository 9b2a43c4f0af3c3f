//! A connection to a server that is behind what was acknowledged is not used, nor is a standby for a worker.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, query, raw_sql};

use super::support::Scratch;
use crate::db::postgres::connect::Backend;
use crate::db::postgres::watch::is_idle;
use crate::model::Lane;
use crate::store::conformance::support::*;
use crate::store::{Batch, Birth, Inspect, Store, StoreError};

/// Ends all other connections to the database.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_new_connection_is_compared_with_what_was_acknowledged_on_every_lane() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let worker = Hand::new(&store).await;
    let birth = || Batch { births: vec![Birth { run: bound(), image: executing() }], ..Batch::default() };
    for (lane, number) in [(1, 1), (1, 2), (2, 1)] {
        store.commit(worker.id, Lane(lane), number, &birth()).await.unwrap();
    }
    let mut other = scratch.connection().await;
    raw_sql("UPDATE forge_wf.lanes SET batch_no = 1 WHERE lane = 1").execute(&mut other).await.unwrap();
    store.commit(worker.id, Lane(2), 2, &birth()).await.expect("its own lane is as it was, on the connection it had");
    query(CUT).execute(&mut other).await.unwrap();
    assert!(has_lost_commits(&store.commit(worker.id, Lane(2), 3, &birth()).await));
    assert!(has_lost_commits(&store.renew_lease(worker.id).await));
    store.remove_worker(worker.id).await.unwrap();
    let mut next = Hand::new(&store).await;
    next.commit(birth()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_reads_from_no_standby_and_a_client_may() {
    let scratch = Scratch::new().await;
    scratch.store().await.close().await;
    let mut other = scratch.connection().await;
    // New connections ask a function that stands before the server's own.
    let name = scratch.url.rsplit_once('/').unwrap().1.to_owned();
    let sql = format!(
        "CREATE TABLE public.standby (yes boolean); INSERT INTO public.standby VALUES (false);
         CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT yes FROM public.standby';
         ALTER DATABASE {name} SET search_path = public, pg_catalog"
    );
    raw_sql(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let worker = Hand::new(&store).await;
    assert!(store.owned_runs(worker.id).await.unwrap().is_empty());
    raw_sql("UPDATE public.standby SET yes = true").execute(&mut other).await.unwrap();
    query(CUT).execute(&mut other).await.unwrap();
    let answer = store.owned_runs(worker.id).await;
    assert!(
        matches!(&answer, Err(error @ StoreError::Unavailable { .. }) if error.to_string().contains("a standby")),
        "{answer:?}"
    );
    let client = scratch.store().await;
    assert!(client.known_versions().await.is_ok(), "what a client reads may be a little old");
    // It was promoted. Connections that are open learn nothing of that.
    raw_sql("UPDATE public.standby SET yes = false").execute(&mut other).await.unwrap();
    assert!(store.owned_runs(worker.id).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_process_of_another_server_is_not_taken_for_the_one_that_serves_a_connection() {
    let scratch = Scratch::new().await;
    let (mut asks, mut busy) = (scratch.connection().await, scratch.connection().await);
    let (pid, started): (i32, i64) =
        sqlx::query_as(
            "SELECT pg_backend_pid(), (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        )
        .fetch_one(&mut busy)
        .await
        .unwrap();
    let sleeping = tokio::spawn(async move { query("SELECT pg_sleep(600)").execute(&mut busy).await });
    let mut ask = async |started| is_idle(&mut asks, Backend { pid, started }, Duration::ZERO).await.unwrap();
    until("it is at work", async || !ask(started).await).await;
    assert!(ask(started - 1).await, "the process of this number has begun at another time");
    sleeping.abort();
}
