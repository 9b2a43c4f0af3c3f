//! The file at the path is the database: one that was deleted, moved away or replaced is left, and nothing more is said to be
//! written to it.
#![cfg(all(feature = "sqlite", feature = "testing", unix))]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forge_wf::db::sqlite::SqliteStore;
use forge_wf::model::RunId;
use forge_wf::store::conformance::support::*;
use forge_wf::store::{Batch, Birth, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection, query_scalar};
use tempfile::TempDir;

struct File {
    directory: TempDir,
}

impl File {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.beside("")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("runs.db{suffix}"))
    }

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&format!("sqlite:{}", self.path().display())).await.unwrap())
    }

    /// A copy as a backup makes it, of what is committed now.
    async fn copy(&self) -> PathBuf {
        let copy = self.directory.path().join("copy.db");
        let mut connection = self.connection().await;
        let into = format!("VACUUM INTO '{}'", copy.display());
        connection.execute(AssertSqlSafe(into)).await.unwrap();
        copy
    }

    /// A connection of another program.
    async fn connection(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}", self.path().display())).await.unwrap()
    }

    /// What stands in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn delete(&self) {
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(self.beside(suffix)).unwrap();
        }
    }
}

async fn is_there(store: &dyn Store, run: RunId) -> bool {
    store.run(run, Duration::ZERO).await.unwrap().is_some()
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(error @ StoreError::Unavailable { .. }) => error.to_string(),
        other => panic!("it should be unavailable: {other:?}"),
    }
}

#[tokio::test]
async fn a_relative_path_means_the_directory_of_the_moment_it_was_opened_in() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir(first.path()).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open("sqlite:runs.db").await.unwrap());
    std::env::set_current_dir(second.path()).unwrap();
    let run = start(&store, checkout()).await;
    let seen = store.run(run, Duration::ZERO).await;
    std::env::set_current_dir(before).unwrap();
    assert!(seen.unwrap().is_some(), "what reads goes where what writes goes");
    assert!(std::fs::read_dir(second.path()).unwrap().next().is_none());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_file_takes_nothing_more_and_is_not_made_again() {
    let file = File::new();
    let store = file.store().await;
    let mut hand = Hand::new(&store).await;
    file.delete();

    let said = unavailable(store.start_run(&checkout()).await);
    assert!(said.contains("runs.db was deleted or moved away"), "{said}");
    unavailable(store.run(RunId::new(), Duration::ZERO).await);
    let birth = Birth { run: bound(), image: executing() };
    let commit = hand.try_commit(Batch { births: vec![birth], ..Batch::default() }).await;
    assert!(matches!(commit, Err(StoreError::LeaseLost { .. })), "{commit:?}");
    assert!(matches!(store.renew_lease(hand.id).await, Err(StoreError::LeaseLost { .. })));
    assert!(matches!(store.claim_runs(&hand.request(1)).await, Err(StoreError::LeaseLost { .. })));
    unavailable(store.register_worker(&worker(LONG)).await);
    assert!(file.names().is_empty(), "{:?}", file.names());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_replaces_another_is_opened_by_what_writes_and_by_what_reads() {
    let file = File::new();
    let (store, client) = (file.store().await, file.store().await);
    let mut hand = Hand::new(&store).await;
    let kept = start(&store, checkout()).await;
    assert_eq!(hand.claim_one().await.id, kept);
    let copy = file.copy().await;
    let lost = start(&store, checkout()).await;
    assert!(is_there(&*client, lost).await);
    // What the former file has left as its log stays where it is: it must not be taken for the log of the new one.
    std::fs::rename(copy, file.path()).unwrap();

    let renewed = store.renew_lease(hand.id).await;
    assert!(matches!(renewed, Err(StoreError::LeaseLost { .. })), "{renewed:?}");
    for store in [&store, &client] {
        assert!(is_there(&**store, kept).await && !is_there(&**store, lost).await, "it is as the copy was");
    }
    // What it owned under the old registration is free at once.
    let mut hand = Hand::new(&store).await;
    assert_eq!(hand.claim_one().await.id, kept);
    let new = start(&client, checkout()).await;
    assert!(is_there(&*store, new).await);
    let mut other = file.connection().await;
    let runs: i64 = query_scalar("SELECT count(*) FROM forge_wf_runs").fetch_one(&mut other).await.unwrap();
    assert_eq!(runs, 2, "other programs read what these two write");
    let whole: String = query_scalar("PRAGMA integrity_check").fetch_one(&mut other).await.unwrap();
    assert_eq!(whole, "ok");
    let aside: Vec<_> = file.names().into_iter().filter(|name| name.contains(".replaced-")).collect();
    assert_eq!(aside.len(), 2, "the log and the index of the former file are kept apart: {aside:?}");
    for store in [store, client] {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_back_is_as_it_was() {
    let file = File::new();
    let store = file.store().await;
    let hand = Hand::new(&store).await;
    let run = start(&store, checkout()).await;
    let away = file.beside(".away");
    std::fs::rename(file.path(), &away).unwrap();
    unavailable(store.start_run(&checkout()).await);
    std::fs::rename(&away, file.path()).unwrap();

    assert!(matches!(store.renew_lease(hand.id).await, Err(StoreError::LeaseLost { .. })), "it was told to stop");
    assert!(is_there(&*store, run).await);
    start(&store, checkout()).await;
    let mut other = file.connection().await;
    let left: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM forge_wf_runs), (SELECT count(*) FROM forge_wf_workers)")
            .fetch_one(&mut other)
            .await
            .unwrap();
    assert_eq!(left, (2, 0), "nothing is lost, and nobody waits for the end of a lease");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_opened_when_it_is_whole() {
    let file = File::new();
    let store = file.store().await;
    let run = start(&store, checkout()).await;
    let copy = file.copy().await;
    file.delete();
    let bytes = std::fs::read(&copy).unwrap();
    // As a copy goes on: nothing yet, a part, all of it.
    for part in [0, 4_096, bytes.len() / 2] {
        std::fs::write(file.path(), &bytes[..part]).unwrap();
        let said = unavailable(store.run(run, Duration::ZERO).await);
        assert!(said.contains("empty") || said.contains("malformed"), "{part}: {said}");
        assert_eq!(std::fs::read(file.path()).unwrap(), bytes[..part], "it is left as it is");
    }
    std::fs::write(file.path(), &bytes).unwrap();
    assert!(is_there(&*store, run).await);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_these_tables_is_left_as_it_is() {
    let file = File::new();
    let store = file.store().await;
    file.delete();
    let mut other = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", file.path().display())).await.unwrap();
    other.execute("CREATE TABLE orders (id INTEGER)").await.unwrap();
    let before = std::fs::read(file.path()).unwrap();
    let said = unavailable(store.start_run(&checkout()).await);
    assert!(said.contains("holds no tables of forge-wf"), "{said}");
    assert!(std::fs::read(file.path()).unwrap() == before, "the file changed");
    let mode: String = query_scalar("PRAGMA journal_mode").fetch_one(&mut other).await.unwrap();
    assert_eq!((mode.as_str(), file.names()), ("delete", vec!["runs.db".to_owned()]));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_grew_is_cut_back() {
    let file = File::new();
    let store = file.store().await;
    let run = start(&store, checkout()).await;
    let length = |path: &Path| std::fs::metadata(path).unwrap().len();
    // A read that goes on keeps the log from beginning anew.
    let mut reader = file.connection().await;
    let mut reads = reader.begin().await.unwrap();
    let _: i64 = query_scalar("SELECT count(*) FROM forge_wf_runs").fetch_one(&mut *reads).await.unwrap();
    for _ in 0..8 {
        let input = json(&format!("\"{}\"", "x".repeat(4 << 20)));
        start(&store, forge_wf::store::NewRun { input, ..checkout() }).await;
    }
    let grown = length(&file.beside("-wal"));
    assert!(grown > 30 << 20, "{grown}");
    reads.rollback().await.unwrap();
    for n in 0..5 {
        store.send_mail(&event(run, &n.to_string())).await.unwrap();
    }
    let left = length(&file.beside("-wal"));
    assert!(left <= 16 << 20, "{left} of {grown} bytes are left");
    store.close().await;
}
