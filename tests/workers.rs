//! Several workers on one PostgreSQL: one is killed, one is frozen, one takes no hints, one finds all that is due held.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forge_wf::Client;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::workflows::{Job, gated, open_gate, ten, three};
use forge_wf_tests::{Database, eventually};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

async fn serve(database: &Database) -> Child {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args([database.url(), "serve"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.as_mut().expect("piped")).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    worker
}

async fn ended(database: &Database) -> usize {
    database.texts("SELECT 1", "SELECT id::text FROM forge_wf.runs WHERE state = 10").await.len()
}

fn signal(worker: &Child, signal: &str) {
    let pid = worker.id().expect("a running worker").to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn when_one_worker_is_killed_the_other_finishes_its_runs() {
    let database = Database::postgres().await;
    let client = Client::connect(database.url()).await.unwrap();
    let (mut first, _second) = (serve(&database).await, serve(&database).await);
    let starts = (0..2_000).map(|n| client.start(three, Job::of(n)).into_future());
    let runs = futures::future::join_all(starts).await;
    eventually("some runs done", async || (ended(&database).await >= 200).then_some(())).await;
    first.kill().await.unwrap();
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 3);
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_frozen_worker_holds_up_nobody_and_writes_nothing_when_it_comes_back() {
    let database = Database::postgres().await;
    let client = Client::connect(database.url()).await.unwrap();
    let frozen = serve(&database).await;
    let starts = (0..200).map(|n| client.start(ten, Job::of(n)).into_future());
    let runs = futures::future::join_all(starts).await;
    eventually("steps recorded", async || {
        let rows = database
            .texts("SELECT 1", "SELECT key FROM forge_wf.journal WHERE key = 'step:pause' AND seq IS NOT NULL")
            .await;
        (rows.len() > 100).then_some(())
    })
    .await;
    signal(&frozen, "-STOP");
    let second = serve(&database).await;
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 10);
    }
    let before = database
        .texts("SELECT 1", "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM forge_wf.journal t")
        .await;
    signal(&frozen, "-CONT");
    eventually("the worker that came back registering anew", async || {
        let workers =
            database.texts("SELECT 1", "SELECT id::text FROM forge_wf.workers WHERE lease_until > now()").await;
        (workers.len() == 2).then_some(())
    })
    .await;
    let after = database
        .texts("SELECT 1", "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM forge_wf.journal t")
        .await;
    assert_eq!(before, after, "it wrote nothing of what it had in hand");
    // Both serve on.
    let more = client.start(ten, Job::of(1)).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), more.result()).await.unwrap().unwrap(), 11);
    drop(second);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_that_takes_no_hints_gives_them_to_those_that_do() {
    let database = Database::postgres().await;
    let _gate = crate::GATE.lock().await;
    open_gate(false);
    let quiet = crate::quick(&database).notifications(false).concurrency(1).build().await.unwrap();
    let hour = Duration::from_secs(3_600);
    let listening = crate::quick(&database).poll_interval(hour).build().await.unwrap();
    let busy = quiet.start(gated, Job::of(0)).await.unwrap();
    let run = quiet.start(three, Job::of(1)).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("a worker with room");
    assert_eq!(result.unwrap(), 4);
    open_gate(true);
    assert_eq!(busy.result().await.unwrap(), 2);
    tokio::join!(quiet.shutdown(), listening.shutdown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_asks_more_and_more_rarely_for_what_others_hold() {
    let database = Database::postgres().await;
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start(three, Job::of(1)).await.unwrap();
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    let mut holding = other.begin().await.unwrap();
    holding.execute("SELECT FROM forge_wf.runs FOR UPDATE").await.unwrap();

    let claims: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let plan = {
        let claims = claims.clone();
        move |call: &'static str, _| {
            if call == "claim_runs" {
                claims.lock().unwrap().push(Instant::now());
            }
            Fault::None
        }
    };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan));
    let rt = crate::quick(&database).store(Arc::new(store)).build().await.unwrap();
    eventually("three long pauses in a row", async || {
        let claims = claims.lock().unwrap();
        let long = |pair: &[Instant]| pair[1] - pair[0] >= Duration::from_millis(200);
        claims.windows(2).map(long).collect::<Vec<_>>().ends_with(&[true, true, true]).then_some(())
    })
    .await;
    holding.rollback().await.unwrap();
    assert_eq!(run.result().await.unwrap(), 4);
    client.close().await;
    rt.shutdown().await;
}
