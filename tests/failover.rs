//! A database that lost commits it had acknowledged: a server that failed over to a copy which lagged behind, a restored file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Client, Error, RunHandle, Status};
use forge_wf_tests::{Database, eventually, on_every_backend};
use tokio::sync::Semaphore;

use crate::quick;

/// The tests of both backends share what is static, so they take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Every table of the journal, parents of foreign keys first.
const TABLES: [&str; 10] =
    ["workers", "lanes", "definitions", "offers", "signatures", "runs", "journal", "run_state", "inbox", "audit"];

/// Keeps a copy of every row beside the tables.
async fn keep_copy(database: &Database) {
    for table in TABLES {
        database.execute(&format!("CREATE TABLE copy_of_{table} AS SELECT * FROM {{forge_wf}}{table}")).await;
    }
}

/// Puts every table back to its copy, in one transaction.
async fn put_back(database: &Database) {
    let numbered = if database.is_sqlite() { "" } else { "OVERRIDING SYSTEM VALUE" };
    let delete = TABLES.iter().rev().map(|table| format!("DELETE FROM {{forge_wf}}{table}"));
    let insert =
        TABLES.iter().map(|table| format!("INSERT INTO {{forge_wf}}{table} {numbered} SELECT * FROM copy_of_{table}"));
    let begin = if database.is_sqlite() { "BEGIN IMMEDIATE" } else { "BEGIN" };
    let all: Vec<_> = [begin.into()].into_iter().chain(delete).chain(insert).chain(["COMMIT".into()]).collect();
    database.execute(&all.join(";\n")).await;
}

async fn workers(database: &Database) -> Vec<String> {
    database.texts("SELECT hex(id) FROM forge_wf_workers", "SELECT id::text FROM forge_wf.workers").await
}

async fn renewals(database: &Database) -> u64 {
    let renewals = database
        .texts(
            "SELECT CAST(sum(renewals) AS TEXT) FROM forge_wf_workers",
            "SELECT sum(renewals)::text FROM forge_wf.workers",
        )
        .await;
    renewals[0].parse().unwrap()
}

static NOTES: AtomicU64 = AtomicU64::new(0);

/// Counts how often it ran.
#[step]
async fn note(n: u64) -> Result<u64> {
    NOTES.fetch_add(1, Ordering::SeqCst);
    Ok(n)
}

/// Lets a run continue.
#[derive(Serialize, Deserialize, Event)]
struct Continue;

/// A step, a wait, and a step.
#[workflow]
async fn notes_twice(ctx: &WorkflowContext) -> Result<u64> {
    let first = note(ctx, 1).await?;
    ctx.wait_for_event::<Continue>().await?;
    Ok(first + note(ctx, 2).await?)
}

/// One step.
#[workflow]
async fn notes_once(ctx: &WorkflowContext) -> Result<u64> {
    note(ctx, 7).await
}

async fn until_it_waits(run: &RunHandle<u64>) {
    eventually("the wait", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
}

on_every_backend!(a_worker_whose_database_went_back_registers_anew_and_continues_from_what_is_there, |database| {
    let _turn = TURN.lock().await;
    NOTES.store(0, Ordering::SeqCst);
    let rt = quick(database).build().await.unwrap();
    let kept = rt.start(notes_twice, ()).await.unwrap();
    until_it_waits(&kept).await;
    keep_copy(database).await;
    let former = workers(database).await;

    // What happens now is lost.
    let lost = rt.start(notes_twice, ()).await.unwrap();
    until_it_waits(&lost).await;
    rt.send_event(&kept, Continue).await.unwrap();
    assert_eq!(kept.result().await.unwrap(), 3);
    put_back(database).await;

    // Starts succeed, whichever lane they go through.
    for _ in 0..8 {
        let run = rt.start(notes_once, ()).await.unwrap();
        assert_eq!(run.result().await.unwrap(), 7);
    }
    eventually("only the new worker", async || {
        let now = workers(database).await;
        (now.len() == 1 && now != former).then_some(())
    })
    .await;
    until_it_waits(&kept).await;
    assert!(matches!(lost.status().await, Err(Error::NoSuchRun { .. })), "its start was lost");
    rt.send_event(&kept, Continue).await.unwrap();
    assert_eq!(kept.result().await.unwrap(), 3);
    assert_eq!(NOTES.load(Ordering::SeqCst), 12, "of what was kept only the second step ran twice");
    rt.shutdown().await;
    assert!(workers(database).await.is_empty());
});

on_every_backend!(an_idle_worker_notices_at_a_renewal_that_its_database_went_back, |database| {
    let rt = quick(database).build().await.unwrap();
    keep_copy(database).await;
    let (former, kept) = (workers(database).await, renewals(database).await);
    eventually("a further renewal", async || (renewals(database).await > kept).then_some(())).await;
    put_back(database).await;
    eventually("only the new worker", async || {
        let now = workers(database).await;
        (now.len() == 1 && now != former).then_some(())
    })
    .await;
    rt.shutdown().await;
});

static BODIES: AtomicU64 = AtomicU64::new(0);
static GATE: Semaphore = Semaphore::const_new(0);

/// Waits at a gate.
#[step]
async fn pass_gate() -> Result<u64> {
    BODIES.fetch_add(1, Ordering::SeqCst);
    let passed = GATE.acquire().await.expect("the gate is never removed");
    passed.forget();
    Ok(1)
}

/// Passes the gate, then does a step.
#[workflow]
async fn passes_gate(ctx: &WorkflowContext) -> Result<u64> {
    Ok(pass_gate(ctx).await? + note(ctx, 1).await?)
}

on_every_backend!(no_two_workers_write_one_journal_after_a_claim_was_lost, |database| {
    let _turn = TURN.lock().await;
    BODIES.store(0, Ordering::SeqCst);
    let client = Client::connect(database.url()).await.unwrap();
    let first = quick(database).build().await.unwrap();
    let run = client.start(passes_gate, ()).await.unwrap();
    eventually("the first body", async || (BODIES.load(Ordering::SeqCst) == 1).then_some(())).await;
    // The claim is undone: its lane and the run's row are as they were before.
    let lane = "UPDATE {forge_wf}lanes SET batch_no = batch_no - 1 WHERE lane = 0 AND batch_no > 0";
    let row = "UPDATE {forge_wf}runs SET worker_id = NULL, state = 0, claim_no = claim_no - 1, ready_at = created_at";
    database.execute(&format!("BEGIN; {lane}; {row}; COMMIT")).await;
    let second = quick(database).build().await.unwrap();
    eventually("the second body", async || (BODIES.load(Ordering::SeqCst) >= 2).then_some(())).await;
    GATE.add_permits(8);
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("an end");
    assert_eq!(result.unwrap(), 2);
    let details = run.show().await.unwrap();
    assert_eq!(details.entries.iter().filter(|entry| entry.call == "step:pass_gate#0").count(), 1);
    first.shutdown().await;
    second.shutdown().await;
    client.close().await;
    GATE.forget_permits(8);
});
