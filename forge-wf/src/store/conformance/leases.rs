//! Promises about workers: registering, renewing, taking over and removing.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::model::{BlockReason, RunId, State};
use crate::store::{Batch, Birth, Due, NewWorker, RunImage, RunUpdate, Store, TakenOver, Write};

/// Kills a worker: gives it no lease and lets another take over until it is gone.
async fn bury(store: &Arc<dyn Store>, dead: &Hand, heir: &Hand) -> TakenOver {
    let mut all = TakenOver::default();
    until("the dead worker is gone", async || {
        let taken = store.take_over(heir.id).await.unwrap();
        all.workers += taken.workers;
        all.runs += taken.runs;
        is_lost(&store.renew_lease(dead.id).await)
    })
    .await;
    all
}

/// A run claimed by a worker that dies without a further entry; its takeovers as the next owner sees them.
async fn die_with(store: &Arc<dyn Store>, run: RunId, heir: &Hand) -> i32 {
    let mut doomed = Hand::expired(store).await;
    let claimed = doomed.claim_one().await;
    assert_eq!(claimed.id, run);
    store.take_over(heir.id).await.unwrap();
    claimed.takeovers
}

pub async fn nothing_is_written_after_the_lease_is_taken(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let mut dead = Hand::expired(&store).await;
    let run = bound();
    let id = run.id;
    dead.bear(run).await;
    let late = start(&store, checkout()).await;
    let taken = store.take_over(heir.id).await.unwrap();
    assert_eq!(taken, TakenOver { workers: 1, runs: 1, more: false });

    let newborn = bound();
    let newborn_id = newborn.id;
    let batch = Batch {
        births: vec![Birth { run: newborn, image: executing() }],
        updates: vec![RunUpdate { run: id, claim_no: 0, image: ended(State::Completed) }],
        inserts: writes(id, vec![completed("step:charge", 0, 1, "1")]),
        ..Batch::default()
    };
    assert!(is_lost(&dead.try_commit(batch.clone()).await));
    assert!(is_lost(&dead.try_commit(batch).await), "as often as it is sent");
    assert!(is_lost(&dead.try_commit(Batch::default()).await));
    assert!(is_lost(&store.claim_runs(&dead.request(5)).await));
    assert!(store.run(newborn_id, LONG).await.unwrap().is_none());
    assert_eq!(calls(&store, id).await, ["start#0"]);
    assert_eq!(view(&store, late).await.worker, None);
    assert!(store.owned_runs(dead.id).await.unwrap().is_empty());
}

pub async fn a_live_worker_is_not_taken_over(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let mut live = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    live.bear(run).await;
    assert_eq!(store.take_over(heir.id).await.unwrap(), TakenOver::default());
    live.update(id, 0, executing()).await;
    store.renew_lease(live.id).await.unwrap();
}

pub async fn an_expired_worker_may_renew_until_it_is_taken_over(store: Arc<dyn Store>) {
    let worker = Hand::expired(&store).await;
    let first = store.renew_lease(worker.id).await.unwrap();
    let second = store.renew_lease(worker.id).await.unwrap();
    assert!(second.now >= first.now, "the database's time");
}

pub async fn a_worker_never_takes_itself_over(store: Arc<dyn Store>) {
    let mut worker = Hand::expired(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    assert_eq!(store.take_over(worker.id).await.unwrap(), TakenOver::default());
    worker.update(id, 0, released()).await;
}

pub async fn only_executing_runs_count_takeovers(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let mut dead = Hand::expired(&store).await;
    let (executes, waits) = (bound(), bound());
    let (executes_id, waits_id) = (executes.id, waits.id);
    dead.bear(executes).await;
    dead.bear(waits).await;
    dead.append(executes_id, vec![completed("step:charge", 0, 1, "1")]).await;
    dead.append(waits_id, vec![completed("step:charge", 0, 1, "1")]).await;
    dead.update(waits_id, 0, RunImage { keep: true, ..waiting(Due::Never) }).await;
    assert_eq!(bury(&store, &dead, &heir).await, TakenOver { workers: 1, runs: 2, more: false });

    let mut next = Hand::new(&store).await;
    let mut claimed: Vec<_> = next.claim(10).await.into_iter().map(|run| (run.id, run.takeovers)).collect();
    claimed.sort();
    let mut expected = vec![(executes_id, 1), (waits_id, 0)];
    expected.sort();
    assert_eq!(claimed, expected, "both are ready at once, one was executing");
}

pub async fn takeovers_without_progress_are_counted(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    for expected in 0..4 {
        assert_eq!(die_with(&store, run, &heir).await, expected);
    }
    // Taking over when nobody died counts nothing.
    store.take_over(heir.id).await.unwrap();
    assert_eq!(die_with(&store, run, &heir).await, 4);
}

pub async fn progress_resets_the_takeovers(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    for expected in 0..3 {
        assert_eq!(die_with(&store, run, &heir).await, expected);
    }
    // A new entry, then death: that takeover is the first of a new row.
    let mut doomed = Hand::expired(&store).await;
    assert_eq!(doomed.claim_one().await.takeovers, 3);
    doomed.append(run, vec![started("step:charge", 0)]).await;
    store.take_over(heir.id).await.unwrap();
    assert_eq!(die_with(&store, run, &heir).await, 1);

    // The outcome of a started entry is progress too.
    let mut doomed = Hand::expired(&store).await;
    assert_eq!(doomed.claim_one().await.takeovers, 2);
    doomed.commit(Batch { outcomes: writes(run, vec![completed("step:charge", 0, 1, "1")]), ..Batch::default() }).await;
    store.take_over(heir.id).await.unwrap();
    assert_eq!(die_with(&store, run, &heir).await, 1);

    // A run that made progress and was given back in peace is no longer suspicious.
    let mut worker = Hand::new(&store).await;
    let claimed = worker.claim_one().await;
    assert_eq!(claimed.takeovers, 2);
    worker.append(run, vec![completed("step:label", 0, 2, "1")]).await;
    worker.update(run, claimed.claim_no, released()).await;
    assert_eq!(worker.claim_one().await.takeovers, 0);
}

pub async fn a_new_generation_is_progress_and_older_ones_are_not_counted(store: Arc<dyn Store>) {
    let write = |run, generation, entry| Batch { inserts: vec![Write { run, generation, entry }], ..Batch::default() };
    let heir = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    assert_eq!(die_with(&store, run, &heir).await, 0);
    assert_eq!(die_with(&store, run, &heir).await, 1);

    // It goes on as its next generation, whose journal is as long, and its worker dies.
    let mut doomed = Hand::expired(&store).await;
    let claimed = doomed.claim_one().await;
    assert_eq!(claimed.takeovers, 2);
    doomed.update(run, claimed.claim_no, RunImage { generation: 1, ..executing() }).await;
    doomed.commit(write(run, 1, bound().start_entry())).await;
    store.take_over(heir.id).await.unwrap();
    assert_eq!(die_with(&store, run, &heir).await, 1);

    // What is written to the former generation is no progress of this one.
    let mut doomed = Hand::expired(&store).await;
    assert_eq!(doomed.claim_one().await.takeovers, 2);
    doomed.commit(write(run, 0, started("step:charge", 0))).await;
    store.take_over(heir.id).await.unwrap();
    assert_eq!(die_with(&store, run, &heir).await, 3);
}

pub async fn a_run_with_only_its_start_is_unbound_when_taken_over(store: Arc<dyn Store>) {
    let heir = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    let run = start(&store, checkout()).await;
    let mut dead = Hand::expired(&store).await;
    assert_eq!(dead.claim_one().await.definition, Some(ONE));
    store.take_over(heir.id).await.unwrap();
    assert_eq!(view(&store, run).await.definition, None);
    let mut heir = heir;
    let claimed = heir.claim_one().await;
    assert_eq!((claimed.id, claimed.definition), (run, Some(TWO)));
}

pub async fn a_run_with_progress_stays_bound_when_taken_over(store: Arc<dyn Store>) {
    let mut heir = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    let run = start(&store, checkout()).await;
    let mut dead = Hand::expired(&store).await;
    dead.claim_one().await;
    dead.append(run, vec![started("step:charge", 0)]).await;
    store.take_over(heir.id).await.unwrap();
    assert!(heir.claim(10).await.is_empty(), "its journal belongs to version 1");
    let mut old = Hand::new(&store).await;
    assert_eq!(old.claim_one().await.definition, Some(ONE));
}

pub async fn a_taken_over_run_keeps_its_journal(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let mut dead = Hand::expired(&store).await;
    let run = bound();
    dead.bear(run.clone()).await;
    let done = completed("step:charge", 0, 1, "17");
    dead.append(run.id, vec![done.clone()]).await;
    bury(&store, &dead, &heir).await;
    assert_eq!(entries(&store, run.id).await, [run.start_entry(), done]);
    let mut heir = heir;
    let claimed = heir.claim_one().await;
    heir.update(claimed.id, claimed.claim_no, ended(State::Completed)).await;
}

pub async fn a_removed_worker_frees_its_runs(store: Arc<dyn Store>) {
    let mut leaving = Hand::new(&store).await;
    let mut stays = Hand::new(&store).await;
    let (one, other) = (bound(), bound());
    let (one_id, other_id) = (one.id, other.id);
    leaving.bear(one).await;
    stays.bear(other).await;
    store.remove_worker(leaving.id).await.unwrap();
    store.remove_worker(leaving.id).await.unwrap();
    assert_eq!(view(&store, one_id).await.takeovers, 0, "a worker that signs off has died of none");
    assert_eq!(stays.claim_one().await.id, one_id);
    assert_eq!(view(&store, other_id).await.worker, Some(stays.id));
    assert!(is_lost(&leaving.try_commit(Batch::default()).await));
}

pub async fn renewing_after_removal_is_a_lost_lease(store: Arc<dyn Store>) {
    let worker = Hand::new(&store).await;
    store.renew_lease(worker.id).await.unwrap();
    store.remove_worker(worker.id).await.unwrap();
    assert!(is_lost(&store.renew_lease(worker.id).await));
}

pub async fn a_renewal_tells_of_an_expired_worker(store: Arc<dyn Store>) {
    let expired = async |worker: &Hand| store.renew_lease(worker.id).await.unwrap().others_expired;
    let mine = Hand::expired(&store).await;
    Hand::new(&store).await;
    assert!(!expired(&mine).await, "its own does not count");
    let dead = Hand::expired(&store).await;
    let heir = Hand::new(&store).await;
    assert!(expired(&heir).await && expired(&mine).await && expired(&dead).await);
    store.take_over(heir.id).await.unwrap();
    assert!(!expired(&heir).await);
}

pub async fn registering_twice_is_harmless(store: Arc<dyn Store>) {
    let new = worker(LONG);
    let mut hand = Hand::register(&store, new.clone()).await;
    let run = bound();
    let id = run.id;
    hand.bear(run).await;
    store.register_worker(&new).await.unwrap();
    hand.update(id, 0, released()).await;
    assert_eq!(hand.claim_one().await.id, id);
    assert_eq!(hand.batch_no, 2, "the lanes kept their numbers");
}

pub async fn a_run_blocked_by_its_code_waits_for_another_build(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let reasons = [
        BlockReason::Panic,
        BlockReason::ForeignAwait,
        BlockReason::Divergence,
        BlockReason::Refused,
        BlockReason::JournalLimit,
    ];
    for reason in reasons {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, blocked(reason, "build-1")).await;
        assert_eq!(view(&store, id).await.block_reason, Some(reason));
    }
    let mut same = Hand::new(&store).await;
    assert!(same.claim(10).await.is_empty(), "the same build would fail again");
    let stranger = NewWorker { build: "build-2".into(), ..worker_serving(LONG, "checkout", "2", NAME, TWO) };
    Hand::register(&store, stranger).await;
    assert!(worker.claim(10).await.is_empty(), "another build that does not offer them");
    let newer = NewWorker { build: "build-2".into(), ..crate::store::conformance::support::worker(LONG) };
    let mut newer = Hand::register(&store, newer).await;
    let claimed = newer.claim(10).await;
    assert_eq!(claimed.len(), reasons.len());
    let seen = view(&store, claimed[0].id).await;
    assert_eq!((seen.block_reason, seen.failure), (None, None), "what blocked it is over");
}

pub async fn a_run_blocked_by_a_compensation_waits_for_an_operator(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    worker.update(id, 0, blocked(BlockReason::Compensation, "build-1")).await;
    let newer = NewWorker { build: "build-2".into(), ..crate::store::conformance::support::worker(LONG) };
    let mut newer = Hand::register(&store, newer).await;
    assert!(newer.claim(10).await.is_empty());
    assert_eq!(view(&store, id).await.state, State::Blocked);
}

pub async fn many_workers_may_take_over_at_once(store: Arc<dyn Store>) {
    let mut runs = Vec::new();
    for _ in 0..5 {
        let mut dead = Hand::expired(&store).await;
        let run = bound();
        runs.push(run.id);
        dead.bear(run).await;
    }
    let mut heirs = Vec::new();
    for _ in 0..4 {
        let heir = Hand::register(&store, worker(Duration::from_secs(600))).await;
        let store = store.clone();
        heirs.push(tokio::spawn(async move { store.take_over(heir.id).await.unwrap() }));
    }
    let mut taken = TakenOver::default();
    for heir in heirs {
        let one = heir.await.unwrap();
        taken.workers += one.workers;
        taken.runs += one.runs;
    }
    assert_eq!(taken, TakenOver { workers: 5, runs: 5, more: false }, "each was counted once");
    for run in runs {
        assert_eq!(view(&store, run).await.state, State::Ready);
    }
}

pub async fn a_run_that_was_executed_beside_a_suspect_is_not_counted(store: Arc<dyn Store>) {
    let heir = Hand::new(&store).await;
    let suspect = start(&store, bound()).await;
    for expected in 0..2 {
        assert_eq!(die_with(&store, suspect, &heir).await, expected);
    }
    let (beside, second) = (bound(), bound());
    let (beside_id, second_id) = (beside.id, second.id);
    for expected in 2..5 {
        let mut doomed = Hand::expired(&store).await;
        assert_eq!(doomed.claim_one().await.takeovers, expected);
        let mut beside = beside.clone();
        beside.id = RunId::new();
        let innocent = beside.id;
        doomed.bear(beside).await;
        assert_eq!(bury(&store, &doomed, &heir).await, TakenOver { workers: 1, runs: 2, more: false });
        assert_eq!(view(&store, innocent).await.takeovers, 0, "the suspect is the likely cause");
        assert_eq!(view(&store, suspect).await.takeovers, expected + 1);
        // It goes on in peace.
        let mut next = Hand::new(&store).await;
        for run in next.claim(10).await {
            let image = if run.id == innocent { ended(State::Completed) } else { released() };
            next.update(run.id, run.claim_no, image).await;
        }
    }

    // A suspect that has come further is none, and hides no other.
    let mut doomed = Hand::expired(&store).await;
    assert_eq!(doomed.claim_one().await.id, suspect);
    doomed.append(suspect, vec![started("step:charge", 0)]).await;
    for run in [beside, second] {
        doomed.bear(run).await;
    }
    bury(&store, &doomed, &heir).await;
    for run in [suspect, beside_id, second_id] {
        assert_eq!(view(&store, run).await.takeovers, 1, "{run}");
    }
}

pub async fn many_runs_of_a_dead_worker_are_freed_in_pieces(store: Arc<dyn Store>) {
    const RUNS: usize = 2_400;
    let heir = Hand::new(&store).await;
    let mut dead = Hand::expired(&store).await;
    let mut suspect = None;
    for _ in 0..RUNS / 300 {
        let births = (0..300).map(|_| Birth { run: bound(), image: executing() }).collect::<Vec<_>>();
        suspect = births.first().map(|birth| birth.run.id);
        dead.commit(Batch { births, ..Batch::default() }).await;
    }
    let first = store.take_over(heir.id).await.unwrap();
    assert!(first.more && first.workers == 1 && first.runs > 0 && first.runs < RUNS as u64, "{first:?}");
    assert!(is_lost(&dead.try_commit(Batch::default()).await), "its right to write went first");
    // The one that began it is gone as well: another one goes on.
    let mut other = Hand::new(&store).await;
    let mut runs = first.runs;
    loop {
        let taken = store.take_over(other.id).await.unwrap();
        assert_eq!(taken.workers, 0);
        runs += taken.runs;
        if !taken.more {
            break;
        }
    }
    assert_eq!(runs, RUNS as u64, "each was counted once");
    assert_eq!(view(&store, suspect.unwrap()).await.takeovers, 1);
    assert_eq!(other.claim(100).await.len(), 100);
}
