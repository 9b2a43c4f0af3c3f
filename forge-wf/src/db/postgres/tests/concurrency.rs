//! What several connections do at once.

use std::sync::Arc;

use sqlx::{Connection, query};

use super::support::Scratch;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Lane, RunId, State, WorkerId};
use crate::store::conformance::support::*;
use crate::store::moves::weight;
use crate::store::{
    Audit, Batch, Birth, CommitAnswer, MailKind, MoveRun, Mover, RetryRun, RunUpdate, Store, StoreError,
};

fn birth() -> Batch {
    Batch { births: vec![Birth { run: bound(), image: executing() }], ..Batch::default() }
}

/// A transaction that holds the rows `sql` names, as a frozen or slow program would.
macro_rules! hold {
    ($connection:ident, $sql:expr $(, $value:expr)*) => {{
        let mut transaction = $connection.begin().await.unwrap();
        query($sql)$(.bind($value))*.execute(&mut *transaction).await.unwrap();
        transaction
    }};
}

const HOLD_LANE: &str = "SELECT FROM forge_wf.lanes WHERE worker_id = $1 AND lane = $2 FOR UPDATE";

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_batch_sent_twice_at_once_is_applied_once() {
    let scratch = Scratch::new().await;
    let stores: [Arc<dyn Store>; 2] = [Arc::new(scratch.store().await), Arc::new(scratch.store().await)];
    let worker = Hand::new(&stores[0]).await;
    let batch = Arc::new(birth());
    let mut other = scratch.connection().await;
    // Both are on their way before either can move the lane.
    let held = hold!(other, HOLD_LANE, worker.id.0, 1i16);
    let commits = stores.clone().map(|store| {
        let (batch, id): (_, WorkerId) = (batch.clone(), worker.id);
        tokio::spawn(async move { store.commit(id, Lane(1), 1, &batch).await })
    });
    let mut watcher = scratch.connection().await;
    until("both wait", async || {
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        query(waiting).fetch_all(&mut watcher).await.unwrap().len() == 2
    })
    .await;
    held.commit().await.unwrap();
    for commit in commits {
        assert_eq!(commit.await.unwrap().unwrap(), CommitAnswer::default());
    }
    assert_eq!(stores[0].owned_runs(worker.id).await.unwrap().len(), 1);
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_that_is_taken_away_while_its_commit_waits_starts_no_child() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let mut other = scratch.connection().await;
    let taken = "UPDATE forge_wf.runs SET worker_id = NULL, claim_no = 7 WHERE id = $1";
    let held = hold!(other, taken, id.0);
    let child = child_of(id);
    let child_id = child.id;
    let batch = Batch {
        updates: vec![RunUpdate { run: id, claim_no: 0, image: executing() }],
        births: vec![Birth { run: child, image: released() }],
        ..Batch::default()
    };
    let commit = tokio::spawn(async move { worker.try_commit(batch).await });
    scratch.until_somebody_waits().await;
    held.commit().await.unwrap();
    assert_eq!(commit.await.unwrap().unwrap().not_yours, [id]);
    assert!(calls(&store, child_id).await.is_empty());
    assert!(store.run(child_id, LONG).await.unwrap().is_none());
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_claim_repeated_while_the_first_is_on_its_way_returns_what_that_took() {
    let scratch = Scratch::new().await;
    let stores: [Arc<dyn Store>; 2] = [Arc::new(scratch.store().await), Arc::new(scratch.store().await)];
    for _ in 0..4 {
        start(&stores[0], checkout()).await;
    }
    let worker = Hand::new(&stores[0]).await;
    let request = Arc::new(worker.request(2));
    let mut other = scratch.connection().await;
    let held = hold!(other, HOLD_LANE, worker.id.0, 0i16);
    let claims = stores.clone().map(|store| {
        let request = request.clone();
        tokio::spawn(async move { store.claim_runs(&request).await })
    });
    scratch.until_somebody_waits().await;
    held.commit().await.unwrap();
    let mut answers = Vec::new();
    for claim in claims {
        answers.push(claim.await.unwrap().unwrap().runs);
    }
    assert_eq!(answers[0].len(), 2);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(stores[0].owned_runs(worker.id).await.unwrap().len(), 2);
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_claim_in_an_open_transaction_blocks_no_other() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let held_run = start(&store, crate::store::NewRun { priority: 9, ..checkout() }).await;
    let free_run = start(&store, checkout()).await;
    let mut other = scratch.connection().await;
    let held = hold!(other, "SELECT FROM forge_wf.runs WHERE id = $1 FOR UPDATE", held_run.0);
    let mut worker = Hand::new(&store).await;
    assert_eq!(worker.claim_one().await.id, free_run, "the other one is passed over");
    held.rollback().await.unwrap();
    assert_eq!(worker.claim_one().await.id, held_run);
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_claim_that_finds_nothing_writes_nothing() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    let mut other = scratch.connection().await;
    let held = hold!(other, HOLD_LANE, worker.id.0, 0i16);
    assert!(worker.claim(10).await.is_empty(), "it does not even touch its lane, which is held");
    held.rollback().await.unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_start_does_not_wait_for_ever_for_a_key_that_another_transaction_takes() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut other = scratch.connection().await;
    let held = hold!(
        other,
        "INSERT INTO forge_wf.runs (id, seed, workflow, start_needs, key, holds_key, phase, state, queue, priority, created_at)
         VALUES (gen_random_uuid(), 1, 'checkout', gen_random_uuid(), 'order-17', true, 0, 0, 'default', 0, now())"
    );
    let answer = store.start_run(&keyed("order-17")).await;
    assert!(matches!(answer, Err(StoreError::Busy { call: "start_run", .. })), "{answer:?}");
    start(&store, keyed("order-18")).await;
    held.rollback().await.unwrap();
    assert!(store.start_run(&keyed("order-17")).await.unwrap().created);
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn one_lane_that_waits_holds_up_no_other() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    let mut other = scratch.connection().await;
    let held = hold!(other, HOLD_LANE, worker.id.0, 1i16);
    let waiting = tokio::spawn({
        let (store, id) = (store.clone(), worker.id);
        async move { store.commit(id, Lane(1), 1, &birth()).await }
    });
    scratch.until_somebody_waits().await;
    store.commit(worker.id, Lane(2), 1, &birth()).await.unwrap();
    start(&store, checkout()).await;
    assert_eq!(worker.claim(10).await.len(), 1);
    store.renew_lease(worker.id).await.unwrap();
    held.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_cut_connection_is_replaced() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let worker = Hand::new(&store).await;
    let second = birth();
    store.commit(worker.id, Lane(1), 1, &birth()).await.unwrap();
    store.renew_lease(worker.id).await.unwrap();
    let mut other = scratch.connection().await;
    query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut other)
    .await
    .unwrap();
    // Unavailable is an answer; the same call again finds a new connection.
    let mut owned = Vec::new();
    until("all answer again", async || {
        let committed = answered(store.commit(worker.id, Lane(1), 2, &second).await).is_some();
        let renewed = answered(store.renew_lease(worker.id).await).is_some();
        owned = answered(store.owned_runs(worker.id).await).unwrap_or_default();
        committed && renewed && !owned.is_empty()
    })
    .await;
    assert_eq!(owned.len(), 2);
}

fn answered<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Err(StoreError::Unavailable { .. }) => None,
        answer => Some(answer.unwrap()),
    }
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn the_lease_may_be_renewed_from_another_runtime() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let worker = Hand::new(&store).await;
    store.renew_lease(worker.id).await.unwrap();
    for _ in 0..2 {
        let (store, id) = (store.clone(), worker.id);
        let elsewhere = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(store.renew_lease(id))
        });
        tokio::task::spawn_blocking(move || elsewhere.join().unwrap()).await.unwrap().unwrap();
    }
    store.renew_lease(worker.id).await.unwrap();
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_claim_says_that_others_hold_all_that_is_due() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    assert!(!worker.claim_all_about_it(10).await.contended, "nothing is due");
    let run = start(&store, bound()).await;
    let mut other = scratch.connection().await;
    let mut holding = other.begin().await.unwrap();
    query("SELECT FROM forge_wf.runs WHERE id = $1 FOR UPDATE").bind(run.0).execute(&mut *holding).await.unwrap();
    for _ in 0..2 {
        let claim = worker.claim_all_about_it(10).await;
        assert_eq!((claim.runs.len(), claim.next_due, claim.contended), (0, None, true));
    }
    holding.rollback().await.unwrap();
    let claim = worker.claim_all_about_it(10).await;
    assert_eq!((claim.runs.len(), claim.next_due, claim.contended), (1, None, false));
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_move_that_waited_for_the_run_looks_at_what_was_written_meanwhile() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let run = start(&store, bound()).await;
    let weight = weight(&entries(&store, run).await);
    // Somebody takes the run, writes and gives it back: all in a transaction, so that the move waits for all of it.
    let mut other = scratch.connection().await;
    let mut transaction = other.begin().await.unwrap();
    let touched = query("UPDATE forge_wf.runs SET takeovers = 0 WHERE id = $1").bind(run.0);
    touched.execute(&mut *transaction).await.unwrap();
    let moving = tokio::spawn({
        let store = store.clone();
        let entry = Entry::new(CallId::new("move", 0), EntryKind::Move, EntryState::Completed, now());
        let by = Mover::Anybody { weight };
        let moved =
            MoveRun { run, by, generation: 0, definition: TWO, version: "2".into(), unbound: (NAME, TWO), entry };
        async move { store.move_run(&moved, None).await }
    });
    scratch.until_somebody_waits().await;
    let written = query(
        "INSERT INTO forge_wf.journal (run_id, generation, key, n, kind, state, at, args_hash, scope, attempts)
         VALUES ($1, 0, 'step:charge', 0, 2, 0, now(), 0, 0, 0)",
    );
    written.bind(run.0).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(!moving.await.unwrap().unwrap());
    assert_eq!(view(&store, run).await.definition, Some(ONE));
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_claim_takes_no_run_that_needs_something_else_by_the_time_it_is_locked() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let run = start(&store, bound()).await;
    let mut worker = Hand::new(&store).await;
    // The claim has seen the run, and waits for its lane.
    let mut other = scratch.connection().await;
    let held = hold!(other, HOLD_LANE, worker.id.0, 0_i16);
    let claiming = tokio::spawn(async move { worker.claim(9).await });
    scratch.until_somebody_waits().await;
    let entry = Entry::new(CallId::new("move", 0), EntryKind::Move, EntryState::Completed, now());
    let by = Mover::Anybody { weight: weight(&entries(&store, run).await) };
    let moved = MoveRun { run, by, generation: 0, definition: TWO, version: "2".into(), unbound: (NAME, TWO), entry };
    assert!(store.move_run(&moved, None).await.unwrap());
    held.rollback().await.unwrap();
    assert!(claiming.await.unwrap().is_empty(), "it is of a version that this worker does not have");
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_command_on_its_way_while_its_run_ends_and_is_retried_is_void() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id: RunId = run.id;
    worker.bear(run).await;
    let mut other = scratch.connection().await;
    let mut transaction = other.begin().await.unwrap();
    let cancel = query(include_str!("../sql/send_order.sql")).bind(uuid::Uuid::now_v7()).bind(id.0);
    let cancel = cancel.bind(MailKind::Cancel as i16).bind("cancel").bind(None::<&str>);
    cancel.bind("ada").bind("cancel").bind("late").execute(&mut *transaction).await.unwrap();
    worker.update(id, 0, ended(State::Failed)).await;
    let retry = RetryRun { run: id, generation: 0, keep: false, seed: 1 };
    let audit = Audit { who: "ada".into(), action: "retry".into(), details: "again".into() };
    store.retry_run(&retry, &audit).await.unwrap();
    transaction.commit().await.unwrap();
    let claimed = worker.claim_one().await;
    let mail = store.load_mail(&[id]).await.unwrap().remove(0).page.mail;
    assert_eq!((mail.len(), mail[0].is_void(&claimed)), (1, true));
}
