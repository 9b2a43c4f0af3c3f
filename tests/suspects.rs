//! Runs that workers may have died of, and bodies that never come to rest: other runs do not wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use forge_wf::Status;
use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually, on_every_backend};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::quick;

/// The tests of both backends share what is static, so they take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

static OPEN: AtomicBool = AtomicBool::new(false);

/// Executes until the gate is open.
#[step]
async fn execute_until_open() -> Result<()> {
    while !OPEN.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Keeps its worker busy until the gate is open.
#[workflow]
async fn keeps_busy(ctx: &WorkflowContext) -> Result<()> {
    execute_until_open(ctx).await
}

/// Makes the runs with a key `suspect..` look as if so many workers had died of each, and due.
async fn accuse(database: &Database, takeovers: u16, suspects: u64) {
    // Its journal holds its start: one entry, one of them with a seq.
    accuse_at(database, takeovers, 2, "suspect%", suspects).await;
}

/// The same for the runs with such keys, whose journals have so many entries and places in the order of deliveries.
async fn accuse_at(database: &Database, takeovers: u16, progress: u16, keys: &str, suspects: u64) {
    let change = format!("SET takeovers = {takeovers}, takeover_entries = {progress}, ready_at =");
    let changed = if database.is_sqlite() {
        let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
        let sql = format!("UPDATE forge_wf_runs {change} 0 WHERE key LIKE '{keys}' AND worker_id IS NULL");
        connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
    } else {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let sql = format!("UPDATE forge_wf.runs {change} now() WHERE key LIKE '{keys}' AND worker_id IS NULL");
        connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
    };
    assert_eq!(changed, suspects);
}

fn job(n: u64) -> Job {
    Job { log: String::new(), n }
}

on_every_backend!(a_suspect_does_not_slow_down_a_worker_that_is_never_idle, |database| {
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    let rt = quick(database).concurrency(8).build().await.unwrap();
    let busy = rt.start(keeps_busy, ()).await.unwrap();
    eventually("it executes", async || (busy.status().await.unwrap() == Status::Running).then_some(())).await;
    let suspect = rt.start(three, job(0)).key("suspect").delay(Duration::from_secs(3_600)).await.unwrap();
    accuse(database, 2, 1).await;
    // All of them while the worker executes something else all the time.
    for n in 0..50 {
        let run = rt.start(three, job(n)).key(format!("k{n}")).await.unwrap();
        let result =
            tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("it waits for no suspect");
        assert_eq!(result.unwrap(), n + 3);
    }
    let result =
        tokio::time::timeout(Duration::from_secs(60), suspect.result()).await.expect("it has a slot of its own");
    assert_eq!(result.unwrap(), 3);
    OPEN.store(true, Ordering::SeqCst);
    busy.result().await.unwrap();
    rt.shutdown().await;
});

static INSIDE: AtomicUsize = AtomicUsize::new(0);
static COMPANY: AtomicBool = AtomicBool::new(false);

/// Waits a while for another suspect to be executed beside it.
#[step]
async fn wait_for_company() -> Result<()> {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let company = async {
        while INSIDE.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_millis(300), company).await.is_ok() {
        COMPANY.store(true, Ordering::SeqCst);
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

/// A suspect that looks for others.
#[workflow]
async fn looks_for_company(ctx: &WorkflowContext) -> Result<()> {
    wait_for_company(ctx).await
}

on_every_backend!(two_suspects_of_one_claim_are_not_executed_beside_each_other, |database| {
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    COMPANY.store(false, Ordering::SeqCst);
    let rt = quick(database).concurrency(16).build().await.unwrap();
    let busy = rt.start(keeps_busy, ()).await.unwrap();
    eventually("it executes", async || (busy.status().await.unwrap() == Status::Running).then_some(())).await;
    let mut suspects = Vec::new();
    for n in 0..4 {
        let start = rt.start(looks_for_company, ()).key(format!("suspect{n}"));
        suspects.push(start.delay(Duration::from_secs(3_600)).await.unwrap());
    }
    accuse(database, 2, 4).await;
    for suspect in suspects {
        suspect.result().await.unwrap();
    }
    assert!(!COMPANY.load(Ordering::SeqCst), "if the worker dies, one of them is to blame");
    OPEN.store(true, Ordering::SeqCst);
    busy.result().await.unwrap();
    rt.shutdown().await;
});

on_every_backend!(before_it_is_given_up_a_suspect_is_executed_alone, |database| {
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    let rt = quick(database).concurrency(8).takeovers_max(2).build().await.unwrap();
    let busy = rt.start(keeps_busy, ()).await.unwrap();
    eventually("it executes", async || (busy.status().await.unwrap() == Status::Running).then_some(())).await;
    let suspect = rt.start(three, job(0)).key("suspect").delay(Duration::from_secs(3_600)).await.unwrap();
    accuse(database, 2, 1).await;
    // It was claimed and given back before this one, which is behind it in the queue, and which does not wait for ever.
    let run = rt.start(three, job(1)).key("behind").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 4);
    assert_eq!(suspect.status().await.unwrap(), Status::Pending, "it is not executed beside another run");
    OPEN.store(true, Ordering::SeqCst);
    busy.result().await.unwrap();
    // The worker is idle now, and takes it up when it is its turn again.
    rt.shutdown().await;
    let rt = quick(database).takeovers_max(2).build().await.unwrap();
    assert_eq!(rt.run::<u64>(suspect.id()).await.unwrap().result().await.unwrap(), 3);
    rt.shutdown().await;
});

static LOOKED: AtomicUsize = AtomicUsize::new(0);

/// Counts its executions.
#[step]
async fn count_looks() -> Result<()> {
    LOOKED.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// A suspect that waits before it does anything.
#[workflow]
async fn waits_first(ctx: &WorkflowContext) -> Result<()> {
    ctx.wait_for_event::<Further>().await?;
    count_looks(ctx).await
}

on_every_backend!(a_suspect_that_is_to_be_alone_is_alone_after_a_wait_too, |database| {
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    LOOKED.store(0, Ordering::SeqCst);
    let rt = quick(database).build().await.unwrap();
    let suspect = rt.start(waits_first, ()).key("suspect").await.unwrap();
    eventually("it waits", async || (suspect.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.shutdown().await;
    // Its wait is a third entry, so a worker that executes it again gets no further before the wait is over.
    accuse_at(database, 2, 3, "suspect", 1).await;
    let rt = quick(database).concurrency(8).takeovers_max(2).build().await.unwrap();
    eventually("the suspect alone, up to its wait", async || {
        let waits = database.texts(
            "SELECT key FROM forge_wf_runs WHERE key = 'suspect' AND state = 2 AND ready_at IS NULL",
            "SELECT key FROM forge_wf.runs WHERE key = 'suspect' AND state = 2 AND ready_at IS NULL",
        );
        (waits.await.len() == 1).then_some(())
    })
    .await;
    let busy = rt.start(keeps_busy, ()).key("busy").await.unwrap();
    eventually("it executes", async || (busy.status().await.unwrap() == Status::Running).then_some(())).await;
    rt.send_event(&suspect, Further).await.unwrap();
    // Claimed after the suspect was to go on.
    let behind = rt.start(three, job(1)).key("behind").delay(Duration::from_secs(1)).await.unwrap();
    assert_eq!(behind.result().await.unwrap(), 4);
    assert_eq!(LOOKED.load(Ordering::SeqCst), 0, "it is not executed beside another run");
    OPEN.store(true, Ordering::SeqCst);
    busy.result().await.unwrap();
    rt.shutdown().await;
    let rt = quick(database).takeovers_max(2).build().await.unwrap();
    rt.run::<()>(suspect.id()).await.unwrap().result().await.unwrap();
    rt.shutdown().await;
});

on_every_backend!(an_idle_worker_executes_a_suspect_in_the_claim_that_brings_it, |database| {
    let rt = quick(database).build().await.unwrap();
    let suspect = rt.start(three, job(0)).key("suspect").delay(Duration::from_secs(3_600)).await.unwrap();
    rt.shutdown().await;
    accuse(database, 2, 1).await;
    // No other claim is answered until it has ended.
    let claims = Arc::new(AtomicUsize::new(0));
    let (counted, open) = (claims.clone(), Arc::new(AtomicBool::new(false)));
    let opened = open.clone();
    let plan = move |call: &'static str, _| {
        let further = call == "claim_runs" && counted.fetch_add(1, Ordering::SeqCst) > 0;
        if further && !opened.load(Ordering::SeqCst) { Fault::Fails } else { Fault::None }
    };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan));
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    let run = rt.run::<u64>(suspect.id()).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(30), run.result()).await.expect("it is executed at once");
    assert_eq!(result.unwrap(), 3);
    open.store(true, Ordering::SeqCst);
    rt.shutdown().await;
});

static FINISHED: AtomicBool = AtomicBool::new(false);

/// Executes until it is told to finish.
#[step]
async fn execute_until_finished() -> Result<()> {
    while !FINISHED.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A long run of which one worker died, by chance.
#[workflow]
async fn takes_long(ctx: &WorkflowContext) -> Result<()> {
    execute_until_finished(ctx).await
}

on_every_backend!(a_run_of_which_one_worker_died_takes_one_slot, |database| {
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    FINISHED.store(false, Ordering::SeqCst);
    let rt = quick(database).concurrency(8).build().await.unwrap();
    let suspect = rt.start(keeps_busy, ()).key("suspect").delay(Duration::from_secs(3_600)).await.unwrap();
    let long = rt.start(takes_long, ()).key("long").delay(Duration::from_secs(3_600)).await.unwrap();
    accuse(database, 2, 1).await;
    eventually("the suspect alone", async || (suspect.status().await.unwrap() == Status::Running).then_some(())).await;
    // The next claim is for one run alone, too.
    accuse_at(database, 1, 2, "long", 1).await;
    OPEN.store(true, Ordering::SeqCst);
    suspect.result().await.unwrap();
    eventually("it executes", async || (long.status().await.unwrap() == Status::Running).then_some(())).await;
    let run = rt.start(three, job(1)).key("other").await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(30), run.result()).await.expect("there are other slots");
    assert_eq!(result.unwrap(), 4);
    FINISHED.store(true, Ordering::SeqCst);
    long.result().await.unwrap();
    rt.shutdown().await;
});

static STUCK: AtomicBool = AtomicBool::new(false);

/// Said when the body may go on.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, Event)]
struct Further;

/// The version that is replaced.
#[workflow(name = "turns", version = "1")]
async fn turns_1(ctx: &WorkflowContext, n: u64) -> Result<u64> {
    let n = add(ctx, "", n).await?;
    ctx.wait_for_event::<Further>().await?;
    Ok(n)
}

/// The version that replaces it, and computes for as long as the test wants.
#[workflow(name = "turns", version = "2", replaces = "1", status = staging)]
async fn turns_2(ctx: &WorkflowContext, n: u64) -> Result<u64> {
    let n = add(ctx, "", n).await?;
    while STUCK.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
    ctx.wait_for_event::<Further>().await?;
    Ok(n + 100)
}

on_every_backend!(a_newer_version_whose_body_never_comes_to_rest_stops_no_claim, |database| {
    let _turn = TURN.lock().await;
    STUCK.store(true, Ordering::SeqCst);
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let run = rt.start(turns_1, 1).await.unwrap();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.send_event(&run, Further).await.unwrap();
    for n in 0..10 {
        let other = rt.start(three, job(n)).key(format!("k{n}")).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(60), other.result()).await.expect("claims go on");
        assert_eq!(result.unwrap(), n + 3);
    }
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("it goes on");
    assert_eq!(result.unwrap(), 2, "with its own version");
    STUCK.store(false, Ordering::SeqCst);
    rt.shutdown().await;
});

on_every_backend!(a_lease_that_lies_too_far_in_the_future_ends_all_the_same, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(three, job(0)).key("held").delay(Duration::from_secs(3_600)).await.unwrap();
    // A worker that renewed its lease of two seconds while the clock was an hour ahead, and died.
    let dead = uuid::Uuid::now_v7();
    if database.is_sqlite() {
        let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
        let sql = format!(
            "INSERT INTO forge_wf_workers (id, name, build, lease_micros, lease_until, started_at)
             VALUES (x'{0}', 'dead', 'b', 2000000, CAST((unixepoch('subsec') + 3600) * 1000000 AS INTEGER), 0);
             UPDATE forge_wf_runs SET worker_id = x'{0}', state = 1, claim_no = 1 WHERE key = 'held'",
            dead.simple()
        );
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let sql = format!(
            "INSERT INTO forge_wf.workers (id, name, build, lease, lease_until, started_at)
             VALUES ('{dead}', 'dead', 'b', '2 seconds', now() + '1 hour', now());
             UPDATE forge_wf.runs SET worker_id = '{dead}', state = 1, claim_no = 1 WHERE key = 'held'"
        );
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("its run is taken over");
    assert_eq!(result.unwrap(), 3);
    rt.shutdown().await;
});
