//! A start while the database gives no answer: an error within a bound, which says whether the run may exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forge_wf::Error;
use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually, on_every_backend};
use sqlx::{Connection, Executor};

use crate::quick;

/// The tests of both backends share what is static, so they take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
static AWAY: AtomicBool = AtomicBool::new(false);
static COMMITS: AtomicU64 = AtomicU64::new(0);
const START_TIMEOUT: Duration = Duration::from_millis(400);

/// A worker whose commits come to nothing, or lose their answers, while `AWAY` is set.
async fn cut_off(database: &Database, fault: Fault) -> Runtime {
    COMMITS.store(0, Ordering::SeqCst);
    AWAY.store(false, Ordering::SeqCst);
    let plan = move |call: &'static str, _| {
        if call != "commit" || !AWAY.load(Ordering::SeqCst) {
            return Fault::None;
        }
        COMMITS.fetch_add(1, Ordering::SeqCst);
        fault
    };
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(plan));
    quick(database).start_timeout(START_TIMEOUT).store(Arc::new(store)).build().await.unwrap()
}

/// The workflows of all runs.
async fn runs(database: &Database) -> Vec<String> {
    database.texts("SELECT workflow FROM forge_wf_runs", "SELECT workflow FROM forge_wf.runs").await
}

on_every_backend!(a_start_that_was_not_sent_is_withdrawn_and_one_that_was_says_so, |database| {
    let _turn = TURN.lock().await;
    let rt = cut_off(database, Fault::Fails).await;
    AWAY.store(true, Ordering::SeqCst);
    let first = rt.start(three, Job::of(1)).into_future();
    let others = async {
        eventually("a try to write the first", async || (COMMITS.load(Ordering::SeqCst) > 0).then_some(())).await;
        futures::future::join_all((0..300).map(|n| rt.start(ten, Job::of(n)).into_future())).await
    };
    let (first, others) = tokio::join!(first, others);
    let Err(Error::StartUnanswered { run, source }) = first else { panic!("{first:?}") };
    assert!(source.to_string().contains("no answer"), "{source}");
    let mut sent = vec![run];
    for other in others {
        match other {
            Err(Error::Store(error)) => assert!(error.to_string().contains("was withdrawn"), "{error}"),
            // By another lane, which was idle.
            Err(Error::StartUnanswered { run, .. }) if !database.is_sqlite() => sent.push(run),
            other => panic!("{other:?}"),
        }
    }
    assert!(sent.len() < 300, "some had to wait for a lane");
    AWAY.store(false, Ordering::SeqCst);
    let again = rt.start(three, Job::of(1)).id(run).await.unwrap();
    assert_eq!((again.id(), again.result().await.unwrap()), (run, 4));
    let last = rt.start(three, Job::of(2)).await.unwrap();
    assert_eq!(last.result().await.unwrap(), 5, "the slots of what was withdrawn are free");
    for run in &sent {
        // What another lane has in hand is sent again until the database answers.
        let run = eventually("what was sent", async || rt.run::<u64>(*run).await.ok()).await;
        run.result().await.unwrap();
    }
    assert_eq!(runs(database).await.len(), sent.len() + 1, "nothing of what was withdrawn, and nothing twice");
    rt.shutdown().await;
});

on_every_backend!(a_start_whose_answer_was_lost_is_found_by_its_id, |database| {
    let _turn = TURN.lock().await;
    let rt = cut_off(database, Fault::LosesAnswer).await;
    AWAY.store(true, Ordering::SeqCst);
    let error = rt.start(three, Job::of(1)).await.unwrap_err();
    let Error::StartUnanswered { run, .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains(&run.to_string()), "{error}");
    let again = rt.start(three, Job::of(1)).id(run).await.unwrap();
    assert!(!again.created(), "it is there already");
    AWAY.store(false, Ordering::SeqCst);
    assert_eq!(again.result().await.unwrap(), 4);
    let client = Client::connect(database.url()).await.unwrap();
    let elsewhere = client.start(three, Job::of(1)).id(run).await.unwrap();
    assert_eq!((elsewhere.id(), elsewhere.created()), (run, false));
    assert_eq!(runs(database).await, ["three"]);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_start_without_the_tables_is_an_error_within_its_time, |database| {
    let rt = quick(database).start_timeout(START_TIMEOUT).build().await.unwrap();
    if database.is_sqlite() {
        let mut connection = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        connection.execute("DROP TABLE forge_wf_runs").await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        connection.execute("DROP SCHEMA forge_wf CASCADE").await.unwrap();
    }
    let begun = Instant::now();
    let starts = (0..20).map(|n| rt.start(three, Job::of(n)).into_future());
    for start in futures::future::join_all(starts).await {
        assert!(matches!(start, Err(Error::Store(_) | Error::StartUnanswered { .. })), "{start:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "a bound: {:?}", begun.elapsed());
    tokio::time::timeout(Duration::from_secs(60), rt.shutdown()).await.expect("it ends");
});
