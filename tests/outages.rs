//! What a worker does while its database is away, says no to everything, or has given its runs to somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

/// The tests of both backends share what is static, so they take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

on_every_backend!(a_shutdown_ends_although_the_database_does_not_answer, |database| {
    let _turn = TURN.lock().await;
    static AWAY: AtomicBool = AtomicBool::new(false);
    AWAY.store(false, Ordering::SeqCst);
    let plan = |_: &'static str, _| if AWAY.load(Ordering::SeqCst) { Fault::Fails } else { Fault::None };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan));
    let rt = quick(database).shutdown_grace(Duration::from_millis(50)).store(Arc::new(store)).build().await.unwrap();
    let run = rt.start(endless, ()).await.unwrap();
    eventually("the run executing", async || (run.status().await.unwrap() == forge_wf::Status::Running).then_some(()))
        .await;
    AWAY.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(50), rt.shutdown()).await.expect("it ends within its bounds");
});

static DENIED: AtomicU64 = AtomicU64::new(0);

/// Takes the rights away for two commits before its outcome is recorded.
#[step]
async fn add_without_rights(n: u64) -> Result<u64> {
    DENIED.store(2, Ordering::SeqCst);
    Ok(n + 1)
}

/// Adds two.
#[workflow]
async fn adds_without_rights(ctx: &WorkflowContext, n: u64) -> Result<u64> {
    let n = add_without_rights(ctx, n).await?;
    add(ctx, "", n).await
}

on_every_backend!(a_database_without_rights_blames_no_run, |database| {
    let _turn = TURN.lock().await;
    let plan = |call: &'static str, _| {
        let denied = call == "commit"
            && DENIED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if denied { Fault::Denied } else { Fault::None }
    };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan));
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    let run = rt.start(adds_without_rights, 1).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 3);
    assert_eq!(run.counts().run_now, 2, "no step is blamed, and none runs again");
    rt.shutdown().await;
});

static CUT: AtomicBool = AtomicBool::new(false);
static BREWED: AtomicU64 = AtomicU64::new(0);

/// Returns what is refused the first time, and cuts its worker off.
#[step]
async fn brew_and_cut() -> Result<String> {
    if BREWED.fetch_add(1, Ordering::SeqCst) > 0 {
        return Ok("fine".into());
    }
    CUT.store(true, Ordering::SeqCst);
    Ok("poison".into())
}

/// Asks for it.
#[workflow]
async fn brews_and_is_cut(ctx: &WorkflowContext) -> Result<String> {
    brew_and_cut(ctx).await
}

on_every_backend!(a_lease_lost_while_saving_what_was_refused_costs_no_slot, |database| {
    let _turn = TURN.lock().await;
    static TRIES: AtomicU64 = AtomicU64::new(0);
    for count in [&TRIES, &BREWED] {
        count.store(0, Ordering::SeqCst);
    }
    let plan = |call: &'static str, _| {
        if call != "commit" || !CUT.load(Ordering::SeqCst) {
            return Fault::None;
        }
        TRIES.fetch_add(1, Ordering::SeqCst);
        Fault::Fails
    };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan)).refusing("poison");
    let rt = quick(database).concurrency(1).store(Arc::new(store)).build().await.unwrap();
    let run = rt.start(brews_and_is_cut, ()).await.unwrap();
    eventually("a try to save it", async || (TRIES.load(Ordering::SeqCst) > 0).then_some(())).await;
    let workers = database
        .texts("DELETE FROM forge_wf_workers RETURNING name", "DELETE FROM forge_wf.workers RETURNING name")
        .await;
    assert_eq!(workers.len(), 1);
    CUT.store(false, Ordering::SeqCst);
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("a slot for it");
    assert_eq!(result.unwrap(), "fine");
    rt.shutdown().await;
});

static HOLDS_UP: AtomicBool = AtomicBool::new(false);

/// Does not end when it is told to.
#[step]
async fn brew_for_ever() -> Result<()> {
    tokio::task::block_in_place(|| {
        while HOLDS_UP.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    Ok(())
}

/// Returns what is refused the first time.
#[step]
async fn brew_poison_once() -> Result<String> {
    Ok(if BREWED.fetch_add(1, Ordering::SeqCst) == 0 { "poison" } else { "fine" }.into())
}

/// Asks for both.
#[workflow]
async fn brews_beside_one_that_does_not_end(ctx: &WorkflowContext) -> Result<String> {
    let (brewed, ended) = tokio::join!(brew_poison_once(ctx), brew_for_ever(ctx));
    ended?;
    brewed
}

on_every_backend!(a_worker_that_lost_its_lease_signs_off_whatever_it_left_behind_before, |database| {
    let _turn = TURN.lock().await;
    BREWED.store(0, Ordering::SeqCst);
    HOLDS_UP.store(true, Ordering::SeqCst);
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(|_, _| Fault::None));
    let store = Arc::new(store.refusing("poison"));
    let grace = Duration::from_millis(50);
    let rt = quick(database).concurrency(1).shutdown_grace(grace).store(store).build().await.unwrap();
    let run = rt.start(brews_beside_one_that_does_not_end, ()).await.unwrap();
    eventually("the output", async || (BREWED.load(Ordering::SeqCst) > 0).then_some(())).await;
    let next = rt.start(three, Job::of(1)).await.unwrap();
    assert_eq!(next.result().await.unwrap(), 4, "it has left the run behind, and its slot is free");

    let workers = database
        .texts("DELETE FROM forge_wf_workers RETURNING name", "DELETE FROM forge_wf.workers RETURNING name")
        .await;
    assert_eq!(workers.len(), 1);
    HOLDS_UP.store(false, Ordering::SeqCst);
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("another try");
    assert_eq!(result.unwrap(), "fine");
    rt.shutdown().await;
    let workers = database.texts("SELECT name FROM forge_wf_workers", "SELECT name FROM forge_wf.workers").await;
    assert!(workers.is_empty(), "nobody waits for the end of its lease");
});
