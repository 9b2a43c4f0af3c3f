//! A worker whose SQLite file is deleted or replaced goes on with the file at the path.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, Log, eventually};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use crate::quick;

fn path(database: &Database) -> PathBuf {
    database.url().strip_prefix("sqlite:").expect("a file").into()
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::remove_file(name).unwrap();
    }
}

static BEGUN: AtomicU64 = AtomicU64::new(0);
static OPEN: AtomicBool = AtomicBool::new(false);

/// Says that it has begun, and passes the gate.
#[step]
async fn begins_at_the_gate() -> Result<()> {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    while !OPEN.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// A step before the gate, the gate, and a step behind it.
#[workflow]
async fn through_the_gate(ctx: &WorkflowContext, log: String) -> Result<u64> {
    let n = add(ctx, &log, 1).await?;
    begins_at_the_gate(ctx).await?;
    add(ctx, &log, n).await
}

// On one thread, so that the log is seen.
#[tokio::test]
async fn a_worker_whose_file_was_deleted_waits_for_another_and_goes_on_with_that() {
    let log = Log::of_this_thread();
    let database = Database::sqlite();
    let rt = quick(&database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let effects = tempfile::NamedTempFile::new().unwrap();
    let run = rt.start(through_the_gate, effects.path().display().to_string()).await.unwrap();
    eventually("the run at the gate", async || (BEGUN.load(Ordering::SeqCst) == 1).then_some(())).await;
    let (file, copy) = (path(&database), path(&database).with_file_name("copy.db"));
    let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
    connection.execute(AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()))).await.unwrap();
    drop(connection);

    remove(&file);
    OPEN.store(true, Ordering::SeqCst);
    let error = eventually("its file missed", async || run.status().await.err()).await;
    assert!(error.to_string().contains("runs.db was deleted or moved away"), "{error}");
    let waits = || log.lines(&["could not register", "runs.db was deleted or moved away"]).len();
    eventually("a line a second", async || (waits() >= 2).then_some(())).await;
    assert!(!file.exists(), "none is made in its place");
    let refused = client.start(three, Job::of(1)).await.unwrap_err();
    assert!(refused.to_string().contains("runs.db was deleted or moved away"), "{refused}");
    // The thread of the lease has a log of its own, and may be the one that finds out.
    assert!(log.lines(&["was deleted or moved away under this process"]).len() <= 2, "once for each of the two");

    std::fs::rename(copy, &file).unwrap();
    assert_eq!(run.result().await.unwrap(), 3);
    let effects = std::fs::read_to_string(effects.path()).unwrap();
    assert_eq!(effects.lines().count(), 2, "what the copy holds did not run again: {effects}");
    assert_eq!(client.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    client.close().await;
    rt.shutdown().await;
    let workers = database.texts("SELECT name FROM forge_wf_workers", "").await;
    assert!(workers.is_empty(), "nobody waits for the end of a lease");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_again_and_again_under_load_stays_whole() {
    let database = Database::sqlite();
    let rt = quick(&database).build().await.unwrap();
    let other = quick(&database).build().await.unwrap();
    let (file, copy) = (path(&database), path(&database).with_file_name("copy.db"));
    for round in 0..5 {
        let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
        connection.execute(AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()))).await.unwrap();
        connection.close().await.unwrap();
        let busy = futures::future::join_all((0..20).map(|n| {
            let rt = if n % 2 == 0 { &rt } else { &other };
            async move {
                let run = rt.start(ten, Job::of(n)).await.ok()?;
                run.result().await.ok()
            }
        }));
        let replace = async {
            tokio::task::yield_now().await;
            std::fs::rename(&copy, &file).unwrap();
        };
        let (results, ()) = tokio::join!(busy, replace);
        for (n, result) in (0..).zip(results) {
            assert!(result.is_none_or(|sum| sum == n + 10), "round {round}: {result:?}");
        }
        for rt in [&rt, &other] {
            let serves = async || rt.start(ten, Job::of(1)).await.ok()?.result().await.ok();
            assert_eq!(eventually("a worker that serves", serves).await, 11);
        }
    }
    rt.shutdown().await;
    other.shutdown().await;
    assert_eq!(database.texts("PRAGMA integrity_check", "").await, ["ok"]);
}
