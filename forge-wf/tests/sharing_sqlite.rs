//! Several handles of one SQLite file: they share nothing but the file, as several processes would.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use std::sync::Arc;
use std::time::Duration;

use forge_wf::db::sqlite::SqliteStore;
use forge_wf::model::{RunId, State};
use forge_wf::store::conformance::support::*;
use forge_wf::store::conformance::{newer, refusing};
use forge_wf::store::{Due, Join, ListRuns, Posted, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tempfile::TempDir;

/// Long enough for several looks at the file.
const QUIET: Duration = Duration::from_millis(150);

struct File {
    directory: TempDir,
}

impl File {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn address(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("runs.db").display())
    }

    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.address()).await.unwrap())
    }

    /// A connection of the user's.
    async fn connection(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.address()).await.unwrap()
    }
}

/// Whether a hint came within a moment.
async fn hinted(store: &Arc<dyn Store>) -> bool {
    tokio::time::timeout(QUIET, store.wait_for_hint()).await.map(|answer| answer.unwrap()).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_share_a_file() {
    let file = File::new();
    let first = file.store().await;
    let run = start(&first, checkout()).await;
    let mut senders = Vec::new();
    for _ in 0..2 {
        let store = file.store().await;
        senders.push(tokio::spawn(async move {
            for n in 0..50 {
                assert_eq!(store.send_mail(&event(run, &n.to_string())).await.unwrap(), Posted::Sent);
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(first.load_mail(&[run]).await.unwrap()[0].page.mail.len(), 100);
}

#[tokio::test]
async fn a_hint_comes_when_another_process_writes() {
    let file = File::new();
    let (mine, other) = (file.store().await, file.store().await);
    assert!(!hinted(&mine).await, "there is nothing to compare with at first");
    for _ in 0..3 {
        start(&other, checkout()).await;
        mine.wait_for_hint().await.unwrap();
    }
    // What happened while nobody waited is heard of as well, once.
    start(&other, checkout()).await;
    start(&other, checkout()).await;
    mine.wait_for_hint().await.unwrap();
    assert!(!hinted(&mine).await);
}

#[tokio::test]
async fn a_workers_own_commits_give_no_hint() {
    let file = File::new();
    let (mine, other) = (file.store().await, file.store().await);
    assert!(!hinted(&mine).await);
    let mut worker = Hand::new(&mine).await;
    worker.bear(bound()).await;
    start(&mine, checkout()).await;
    mine.send_hint().await.unwrap();
    worker.claim_one().await;
    assert!(!hinted(&mine).await);
    start(&other, checkout()).await;
    worker.bear(bound()).await;
    mine.wait_for_hint().await.unwrap();
}

#[tokio::test]
async fn closing_ends_a_wait_for_a_hint() {
    let file = File::new();
    let store = file.store().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for_hint().await }
    });
    store.close().await;
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Closed { .. })));
}

#[tokio::test]
async fn mail_in_a_users_transaction_counts_when_it_commits() {
    let file = File::new();
    let store = file.store().await;
    let run = keyed("order-17");
    let id = run.id;
    start(&store, run).await;
    assert!(!hinted(&store).await);

    let mut user = file.connection().await;
    for commits in [false, true] {
        let mut transaction = user.begin().await.unwrap();
        let found = transaction.find_run("checkout", "order-17").await.unwrap();
        assert_eq!(found, Some(id));
        assert_eq!(transaction.find_run("refund", "order-17").await.unwrap(), None);
        let mail = event(id, "17");
        for _ in 0..2 {
            assert_eq!(transaction.send_mail(&mail).await.unwrap(), Posted::Sent);
        }
        assert_eq!(transaction.send_mail(&event(RunId::new(), "1")).await.unwrap(), Posted::Unknown);
        assert!(store.load_mail(&[id]).await.unwrap()[0].page.mail.is_empty(), "not before the commit");
        if commits {
            transaction.commit().await.unwrap();
            store.wait_for_hint().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
            assert!(!hinted(&store).await);
        }
        assert_eq!(store.load_mail(&[id]).await.unwrap()[0].page.mail.len(), usize::from(commits));
    }

    // Also without a transaction of its own, and when the run is over.
    assert_eq!(user.send_mail(&event(id, "18")).await.unwrap(), Posted::Sent);
    let mut worker = Hand::new(&store).await;
    let claimed = worker.claim_one().await;
    worker.update(id, claimed.claim_no, ended(State::Failed)).await;
    assert_eq!(user.send_mail(&event(id, "19")).await.unwrap(), Posted::Ended(State::Failed));
}

#[tokio::test]
async fn mail_for_another_file_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}?mode=rwc", directory.path().join("shop.db").display());
    let mut user = SqliteConnection::connect(&address).await.unwrap();
    user.execute("CREATE TABLE orders (id INTEGER)").await.unwrap();
    let error = user.send_mail(&event(RunId::new(), "1")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Misconfigured { what } if what.contains("use one to the file")), "{error}");
}

#[tokio::test]
async fn a_flood_slows_nothing_down() {
    let file = File::new();
    let store = file.store().await;
    let mut worker = Hand::new(&store).await;
    let (flooded, waits) = (bound(), bound());
    let (flooded_id, waits_id) = (flooded.id, waits.id);
    worker.bear(flooded).await;
    worker.bear(waits).await;
    let mut user = file.connection().await;
    sqlx::query(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200000)
         INSERT INTO forge_wf_inbox (id, run_id, kind, name, sent_at) SELECT randomblob(16), ?1, 0, 'approved', 1 FROM n",
    )
    .bind(flooded_id.0)
    .execute(&mut user)
    .await
    .unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(store.unnoticed_mail(worker.id, &[]).await.unwrap().len(), 256);
        assert_eq!(store.load_mail(&[flooded_id]).await.unwrap()[0].page.mail.len(), 256);
        assert_eq!(store.load_events(flooded_id, "approved").await.unwrap().mail.len(), 256);
        assert_eq!(store.load_events(flooded_id, "refused").await.unwrap().mail.len(), 0);
        assert!(worker.claim(10).await.is_empty());
    }
    worker.update(flooded_id, 0, waiting(Due::Never)).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    assert_eq!(worker.claim_one().await.id, flooded_id);
    let hundred = begin.elapsed();
    // Measured beside each other, so that a busy machine meets both: a hundred calls, and as many walks through all of it.
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        let walk = sqlx::query("SELECT sum(length(name)) FROM forge_wf_inbox WHERE run_id = ?1").bind(flooded_id.0);
        walk.execute(&mut user).await.unwrap();
    }
    let walks = begin.elapsed() * 20;
    assert!(hundred < walks, "a hundred calls took {hundred:?}, a hundred walks take {walks:?}");
}

#[tokio::test]
async fn mail_of_a_later_build_waits_for_one_that_can_read_it() {
    let file = File::new();
    let store = file.store().await;
    let mut rows = file.connection().await;
    let set_kind = async |mail, kind: i16| {
        let set = sqlx::query("UPDATE forge_wf_inbox SET kind = ?2 WHERE id = ?1").bind::<uuid::Uuid>(mail).bind(kind);
        assert_eq!(set.execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::mail_of_a_later_build_waits_for_one_that_can_read_it(store, set_kind).await;
}

#[tokio::test]
async fn a_run_of_a_later_build_is_left_as_it_is_and_keeps_no_other_waiting() {
    let file = File::new();
    let store = file.store().await;
    let mut rows = file.connection().await;
    let set_phase = async |run: RunId, phase: i16| {
        let set = sqlx::query("UPDATE forge_wf_runs SET phase = ?2 WHERE id = ?1").bind(run.0).bind(phase);
        assert_eq!(set.execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::a_run_of_a_later_build_is_left_as_it_is_and_keeps_no_other_waiting(store, set_phase).await;
}

#[tokio::test]
async fn an_entry_of_a_later_build_is_told_from_one_that_makes_no_sense() {
    let file = File::new();
    let store = file.store().await;
    let mut rows = file.connection().await;
    let set_kind = async |run: RunId, kind: i16| {
        let set = sqlx::query("UPDATE forge_wf_journal SET kind = ?2 WHERE run_id = ?1 AND key = 'step:charge'");
        assert_eq!(set.bind(run.0).bind(kind).execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::an_entry_of_a_later_build_is_told_from_one_that_makes_no_sense(store, set_kind).await;
}

/// Has SQLite refuse each change of these runs' rows from now on, and of no others.
async fn refuse(rows: &mut SqliteConnection, runs: Vec<RunId>) {
    let runs: Vec<_> = runs.iter().map(|run| format!("x'{}'", run.0.simple())).collect();
    let sql = format!(
        "DROP TRIGGER IF EXISTS refuses;
         CREATE TRIGGER refuses BEFORE UPDATE ON forge_wf_runs WHEN NEW.id IN ({})
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        runs.join(", ")
    );
    rows.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test]
async fn a_run_that_the_database_refuses_to_give_keeps_no_other_from_being_given() {
    let file = File::new();
    let (store, mut rows) = (file.store().await, file.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::a_run_that_the_database_refuses_to_give_keeps_no_other_from_being_given(store, refuse).await;
}

#[tokio::test]
async fn a_blocked_run_that_the_database_refuses_to_change_keeps_no_new_build_from_being_registered() {
    let file = File::new();
    let (store, mut rows) = (file.store().await, file.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::a_blocked_run_that_the_database_refuses_to_change_keeps_no_new_build_from_being_registered(store, refuse)
        .await;
}

#[tokio::test]
async fn many_runs_that_cannot_be_written_keep_no_other_of_their_dead_worker() {
    let file = File::new();
    let (store, mut rows) = (file.store().await, file.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::many_runs_that_cannot_be_written_keep_no_other_of_their_dead_worker(store, refuse).await;
}

#[tokio::test]
async fn a_run_whose_mail_is_refused_keeps_no_other_from_its_deadline() {
    let file = File::new();
    let (store, mut rows) = (file.store().await, file.connection().await);
    let refuse_mail = async |run: RunId| {
        let sql = format!(
            "CREATE TRIGGER refuses BEFORE INSERT ON forge_wf_inbox WHEN NEW.run_id = x'{}'
                 BEGIN SELECT RAISE(ABORT, 'no mail'); END",
            run.0.simple()
        );
        rows.execute(AssertSqlSafe(sql)).await.unwrap();
    };
    refusing::a_run_whose_mail_is_refused_keeps_no_other_from_its_deadline(store, refuse_mail).await;
}

#[tokio::test]
async fn a_run_whose_workflow_cannot_be_read_is_listed_beside_the_others() {
    let file = File::new();
    let store = file.store().await;
    let (fine, bad) = (start(&store, checkout()).await, start(&store, checkout()).await);
    let mut rows = file.connection().await;
    let damage = sqlx::query("UPDATE forge_wf_runs SET workflow = CAST(x'636865ff' AS TEXT) WHERE id = ?1");
    damage.bind(bad.0).execute(&mut rows).await.unwrap();
    let list = ListRuns { limit: 10, look_at: 100, ..ListRuns::default() };
    let listed = store.list_runs(&list, Duration::ZERO).await.unwrap();
    assert_eq!(listed.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [fine]);
    let unknown: Vec<_> = listed.unknown.iter().map(|it| (it.run, &*it.workflow)).collect();
    assert_eq!(unknown, [(bad, "che\u{FFFD}")]);
}

#[tokio::test]
async fn a_row_whose_id_is_too_short_keeps_no_other_from_being_claimed_and_listed() {
    let file = File::new();
    let store = file.store().await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(start(&store, bound()).await);
    }
    let mut worker = Hand::new(&store).await;
    let mut rows = file.connection().await;
    let damage = async |rows: &mut SqliteConnection, run: RunId, id: &str| {
        let sql = format!("UPDATE forge_wf_runs SET id = x'{id}' WHERE id = x'{}'", run.0.simple());
        rows.execute(AssertSqlSafe(sql)).await.unwrap();
    };
    damage(&mut rows, runs[0], "01").await;
    damage(&mut rows, runs[3], "ff02").await;
    assert_eq!(worker.claim(1).await[0].id, runs[1], "though the first in line is none");
    let list = |look_at| ListRuns { limit: 1, look_at, ..ListRuns::default() };
    let first = store.list_runs(&list(100), Duration::ZERO).await.unwrap();
    assert_eq!((first.runs[0].id, first.next), (runs[2], Some(runs[2])));
    let second = ListRuns { before: first.next, ..list(100) };
    assert_eq!(store.list_runs(&second, Duration::ZERO).await.unwrap().runs[0].id, runs[1]);
    assert_eq!(worker.claim(10).await.len(), 1);
    assert!(worker.claim(10).await.is_empty());
    assert_eq!(store.owned_runs(worker.id).await.unwrap().len(), 2);
    let mut owned = runs[1..3].to_vec();
    damage(&mut rows, runs[1], "03").await;
    owned.remove(0);
    assert_eq!(store.owned_runs(worker.id).await.unwrap(), owned);
    store.remove_worker(worker.id).await.unwrap();
    assert_eq!(view(&store, runs[2]).await.worker, None);
}
