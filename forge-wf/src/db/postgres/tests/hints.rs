//! Hints between stores over one database.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor, query};

use super::support::Scratch;
use crate::store::conformance::support::*;
use crate::store::{Store, StoreError};

/// Whether a hint came within a moment.
async fn hinted(store: &Arc<dyn Store>) -> bool {
    tokio::time::timeout(Duration::from_millis(150), store.wait_for_hint()).await.map(|answer| answer.unwrap()).is_ok()
}

/// Two stores, of which the first listens.
async fn two(scratch: &Scratch) -> (Arc<dyn Store>, Arc<dyn Store>) {
    let (mine, other): (Arc<dyn Store>, Arc<dyn Store>) =
        (Arc::new(scratch.store().await), Arc::new(scratch.store().await));
    // Whatever was sent before it listened was not heard, so the first wait ends at once.
    mine.wait_for_hint().await.unwrap();
    (mine, other)
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_hint_of_another_store_arrives() {
    let scratch = Scratch::new().await;
    let (mine, other) = two(&scratch).await;
    for _ in 0..3 {
        other.send_hint().await.unwrap();
        mine.wait_for_hint().await.unwrap();
    }
    let waiting = tokio::spawn({
        let mine = mine.clone();
        async move { mine.wait_for_hint().await }
    });
    other.send_hint().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn hints_of_this_very_store_are_not_heard() {
    let scratch = Scratch::new().await;
    let (mine, other) = two(&scratch).await;
    mine.send_hint().await.unwrap();
    Hand::new(&mine).await.bear(bound()).await;
    start(&mine, checkout()).await;
    assert!(!hinted(&mine).await);
    mine.send_hint().await.unwrap();
    other.send_hint().await.unwrap();
    mine.wait_for_hint().await.unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn many_hints_become_one() {
    let scratch = Scratch::new().await;
    let (mine, other) = two(&scratch).await;
    // The server folds equal ones of a transaction only.
    let mut user = scratch.connection().await;
    for _ in 0..50 {
        user.execute("NOTIFY forge_wf, 'somebody'").await.unwrap();
    }
    let senders: Vec<_> = (0..50)
        .map(|_| {
            let other = other.clone();
            tokio::spawn(async move { other.send_hint().await })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap().unwrap();
    }
    mine.wait_for_hint().await.unwrap();
    // How many were on their way then is not ours to say; but they come to an end.
    until("it is quiet", async || !hinted(&mine).await).await;
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_wait_that_was_dropped_leaves_nothing_behind() {
    let scratch = Scratch::new().await;
    let (mine, other): (Arc<dyn Store>, Arc<dyn Store>) =
        (Arc::new(scratch.store().await), Arc::new(scratch.store().await));
    // Dropped while it connects, and while it listens.
    for micros in [0, 50, 500, 2_000, 5_000, 20_000, 50_000] {
        let _ = tokio::time::timeout(Duration::from_micros(micros), mine.wait_for_hint()).await;
    }
    until("it is quiet", async || !hinted(&mine).await).await;
    other.send_hint().await.unwrap();
    mine.wait_for_hint().await.unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_listener_that_broke_gives_a_hint_when_it_is_back() {
    let scratch = Scratch::new().await;
    let (mine, other) = two(&scratch).await;
    let mut user = scratch.connection().await;
    query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%LISTEN%'",
    )
    .execute(&mut user)
    .await
    .unwrap();
    mine.wait_for_hint().await.unwrap();
    until("the other speaks", async || other.send_hint().await.is_ok()).await;
    mine.wait_for_hint().await.unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn closing_ends_a_wait_for_a_hint() {
    let scratch = Scratch::new().await;
    let (mine, _) = two(&scratch).await;
    let waiting = tokio::spawn({
        let mine = mine.clone();
        async move { mine.wait_for_hint().await }
    });
    mine.close().await;
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Closed { .. })));
    assert!(mine.wait_for_hint().await.is_err() && mine.send_hint().await.is_err());
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_store_may_outlive_its_runtime() {
    let scratch = Scratch::new().await;
    let url = scratch.url.clone();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(crate::db::postgres::PgStore::connect(&url)).unwrap();
        runtime.block_on(store.wait_for_hint()).unwrap();
        drop(runtime);
        drop(store);
    });
    tokio::task::spawn_blocking(move || elsewhere.join()).await.unwrap().expect("nothing panics");
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn runs_that_a_leaving_or_dead_worker_frees_give_a_hint() {
    let scratch = Scratch::new().await;
    let (mine, other) = two(&scratch).await;
    let heir = Hand::new(&other).await;
    other.take_over(heir.id).await.unwrap();
    assert!(!hinted(&mine).await, "nothing was freed");
    Hand::expired(&other).await.bear(bound()).await;
    other.take_over(heir.id).await.unwrap();
    mine.wait_for_hint().await.unwrap();
    let mut leaving = Hand::new(&mine).await;
    leaving.bear(bound()).await;
    mine.remove_worker(leaving.id).await.unwrap();
    mine.wait_for_hint().await.unwrap();
}
