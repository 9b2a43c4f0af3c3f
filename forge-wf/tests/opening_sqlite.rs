//! Opening an SQLite file: what goes wrong is said in words, and a file that is not ours to change stays as it was.
#![cfg(feature = "sqlite")]

use std::path::Path;
use std::time::Duration;

use forge_wf::db::sqlite::SqliteStore;
use forge_wf::model::RunId;
use forge_wf::store::{Inspect, MailKind, Store, StoreError};
use sqlx::{Connection, SqliteConnection, raw_sql};

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// The sentence a person reads.
async fn complaint(address: &str) -> String {
    match SqliteStore::open(address).await {
        Err(StoreError::Misconfigured { what }) => what,
        other => panic!("{address} should be refused as misconfigured: {other:?}"),
    }
}

fn forbid_writing(path: &Path) {
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions).unwrap();
}

#[tokio::test]
async fn a_file_is_created_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("it's 100% runs?.db".replace('?', ""));
    for address in
        [url(&path), format!("sqlite://{}", path.display()), path.display().to_string(), url(&path) + "?mode=rw"]
    {
        let store = SqliteStore::open(&address).await.unwrap();
        assert!(store.run(RunId::new(), Duration::ZERO).await.unwrap().is_none());
        store.close().await;
        assert!(store.run(RunId::new(), Duration::ZERO).await.is_err(), "it is closed");
    }
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let address = url(&directory.path().join("runs.db"));
    let opens: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            tokio::spawn(async move { SqliteStore::open(&address).await.unwrap() })
        })
        .collect();
    for open in opens {
        let store = open.await.unwrap();
        assert!(store.unserved(Duration::ZERO).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let address = url(&directory.path().join("runs.db"));
    let mut old = SqliteConnection::connect(&(address.clone() + "?mode=rwc")).await.unwrap();
    raw_sql(include_str!("../migrations/sqlite/0001_runs.sql")).execute(&mut old).await.unwrap();
    // An event and a cancel, each once noticed and once not.
    raw_sql(
        "CREATE TABLE forge_wf_migrations
            (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;
         INSERT INTO forge_wf_migrations VALUES (1, 'runs', 0);
         INSERT INTO forge_wf_inbox (id, run_id, kind, name, sent_at, noticed_at) VALUES
            (randomblob(16), zeroblob(16), 0, 'approved', 1, 2), (randomblob(16), zeroblob(16), 2, '', 1, 2),
            (randomblob(16), zeroblob(16), 0, 'approved', 1, NULL), (randomblob(16), zeroblob(16), 2, '', 1, NULL)",
    )
    .execute(&mut old)
    .await
    .unwrap();
    old.close().await.unwrap();
    let run = RunId("00000000-0000-0000-0000-000000000000".parse().unwrap());
    // Opened again, nothing changes.
    for _ in 0..2 {
        let store = SqliteStore::open(&address).await.unwrap();
        let bag = store.load_mail(&[run]).await.unwrap().remove(0).page;
        let found: Vec<_> = bag.mail.iter().map(|mail| (mail.mail.kind, mail.noticed)).collect();
        assert_eq!(found, [(MailKind::Event, true), (MailKind::Event, false), (MailKind::Cancel, false)]);
        assert_eq!(store.load_events(run, "approved").await.unwrap().mail.len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn a_schema_from_the_future_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    SqliteStore::open(&url(&path)).await.unwrap().close().await;
    let mut connection = SqliteConnection::connect(&url(&path)).await.unwrap();
    raw_sql("INSERT INTO forge_wf_migrations VALUES (99, 'later', 0); DROP TABLE forge_wf_audit")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&url(&path)).await.unwrap_err();
    assert!(matches!(error, StoreError::SchemaTooNew { found: 99, .. }), "{error}");
    assert!(std::fs::read(&path).unwrap() == before, "the file changed");
}

#[tokio::test]
async fn tables_of_the_user_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.db");
    let mut connection = SqliteConnection::connect(&(url(&path) + "?mode=rwc")).await.unwrap();
    raw_sql("CREATE TABLE runs (a); INSERT INTO runs VALUES (17)").execute(&mut connection).await.unwrap();
    SqliteStore::open(&url(&path)).await.unwrap().close().await;
    let kept: i64 = sqlx::query_scalar("SELECT a FROM runs").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 17);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let letter = "Dear database, ".repeat(300);
    std::fs::write(&path, &letter).unwrap();
    let complaint = complaint(&url(&path)).await;
    assert!(complaint.contains("is not an SQLite database") && complaint.contains("letter.txt"), "{complaint}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
}

#[tokio::test]
async fn a_read_only_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    SqliteStore::open(&url(&path)).await.unwrap().close().await;
    forbid_writing(&path);
    let complaint = complaint(&url(&path)).await;
    assert!(complaint.contains("is read-only; allow writing"), "{complaint}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("locked");
    std::fs::create_dir(&inside).unwrap();
    forbid_writing(&inside);
    let complaint = complaint(&url(&inside.join("runs.db"))).await;
    assert!(complaint.contains("cannot be written; allow it"), "{complaint}");
    assert!(!inside.join("runs.db").exists());
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = complaint(&url(&directory.path().join("missing/runs.db"))).await;
    assert!(missing.contains("does not exist; create it first"), "{missing}");
    let directory_itself = complaint(&url(directory.path())).await;
    assert!(directory_itself.contains("is a directory; name a file"), "{directory_itself}");
    std::fs::write(directory.path().join("file"), "").unwrap();
    let below_a_file = complaint(&url(&directory.path().join("file/runs.db"))).await;
    assert!(below_a_file.contains("is not a directory"), "{below_a_file}");
    let absent = complaint(&(url(&directory.path().join("runs.db")) + "?mode=rw")).await;
    assert!(absent.contains("create it, or leave out mode=rw"), "{absent}");
}

#[tokio::test]
async fn an_address_that_would_lose_runs_is_refused() {
    for address in [":memory:", "sqlite::memory:", "sqlite://:memory:", "sqlite:runs.db?mode=memory"] {
        let complaint = complaint(address).await;
        assert!(complaint.contains("would lose every run"), "{complaint}");
    }
    assert!(complaint("sqlite:").await.contains("names no file"));
    assert!(complaint("sqlite:runs.db?cache=shared").await.contains("does not know; remove them"));
}
