//! Promises of `Inspect` and `load_journals`.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Digest, Phase, RunId, Served, State, Status, VersionStatus};
use crate::store::{Batch, DefinitionRow, Due, NewRun, NewWorker, RunImage, SavedState, Store, Unserved, load_each};

pub async fn a_run_nobody_has_is_none(store: Arc<dyn Store>) {
    let id = RunId::new();
    assert!(store.run(id, LONG).await.unwrap().is_none());
    assert!(store.journal(id).await.unwrap().is_none());
    assert!(store.run_by_key("checkout", "order-17", LONG).await.unwrap().is_none());
    assert!(store.unserved(Duration::ZERO).await.unwrap().is_empty());
    let journals = store.load_journals(&[(id, 0)]).await.unwrap();
    assert!(journals.len() == 1 && journals[0].entries.is_empty());
    assert!(store.load_journals(&[]).await.unwrap().is_empty());
}

pub async fn a_view_shows_what_was_stored(store: Arc<dyn Store>) {
    let run = NewRun { key: Some("order-17".into()), ..bound() };
    start(&store, run.clone()).await;
    let seen = view(&store, run.id).await;
    assert_eq!((seen.id, &*seen.workflow, seen.version.as_deref()), (run.id, "checkout", Some("1")));
    assert_eq!((seen.definition, seen.key.as_deref(), seen.generation), (Some(ONE), Some("order-17"), 0));
    assert_eq!(
        (seen.phase, seen.state, seen.due_later, seen.served),
        (Phase::Forward, State::Ready, false, Served::Yes)
    );
    assert_eq!((seen.block_reason, seen.failure, seen.output, seen.worker), (None, None, None, None));
    assert_eq!(seen.ended_at, None);
    assert!(seen.ready_at.unwrap() >= seen.created_at);
}

pub async fn a_run_is_found_by_its_key(store: Arc<dyn Store>) {
    let run = start(&store, keyed("order-17")).await;
    let found = store.run_by_key("checkout", "order-17", LONG).await.unwrap().unwrap();
    assert_eq!(found.id, run);
    assert!(store.run_by_key("checkout", "order-18", LONG).await.unwrap().is_none());
    assert!(store.run_by_key("refund", "order-17", LONG).await.unwrap().is_none());
}

pub async fn the_status_follows_the_run(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, checkout()).await;
    assert_eq!(view(&store, run).await.status(), Status::Pending);
    let claimed = worker.claim_one().await;
    let images = [
        (executing(), Status::Running),
        (RunImage { keep: true, ..waiting(Due::At(now() + LONG)) }, Status::Sleeping),
        (RunImage { keep: true, ..waiting(Due::Never) }, Status::Waiting),
        (RunImage { phase: Phase::Undo, ..executing() }, Status::Compensating),
        (ended(State::Compensated), Status::Compensated),
    ];
    for (image, status) in images {
        worker.update(run, claimed.claim_no, image).await;
        assert_eq!(view(&store, run).await.status(), status);
    }
}

pub async fn a_run_that_waits_for_an_event_is_not_asleep(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let later = Due::At(now() + LONG);
    for (key, kind) in [("event:approved", EntryKind::Event), ("child:ship", EntryKind::Child)] {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        // It waits with a timeout; beside it is a timer.
        let mut wait = Entry::new(CallId::new(key, 0), kind, EntryState::Started, now());
        let timer = Entry::new(CallId::new("sleep", 0), EntryKind::Sleep, EntryState::Started, now());
        worker.append(id, vec![timer, wait.clone()]).await;
        worker.update(id, 0, RunImage { keep: true, ..waiting(later) }).await;
        assert_eq!(view(&store, id).await.status(), Status::Waiting);
        // Once the event came, or when the wait was of another generation, it only sleeps.
        worker.update(id, 0, RunImage { keep: true, generation: 1, ..waiting(later) }).await;
        assert_eq!(view(&store, id).await.status(), Status::Sleeping);
        (wait.state, wait.seq) = (EntryState::Completed, Some(1));
        worker.commit(Batch { outcomes: writes(id, vec![wait]), ..Batch::default() }).await;
        worker.update(id, 0, RunImage { keep: true, ..waiting(later) }).await;
        assert_eq!(view(&store, id).await.status(), Status::Sleeping);
    }
}

pub async fn saved_state_is_read_back(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    assert_eq!(store.state(id, "progress").await.unwrap(), None);
    for value in ["1", "{\"of\":2}"] {
        let state = |key: &str| SavedState { run: id, key: key.into(), value: json(value) };
        worker.commit(Batch { states: vec![state("progress"), state("place")], ..Batch::default() }).await;
        assert_eq!(store.state(id, "progress").await.unwrap(), Some(json(value)));
    }
    assert_eq!(store.state(id, "Progress").await.unwrap(), None);
    assert_eq!(store.state(RunId::new(), "progress").await.unwrap(), None);
}

pub async fn a_run_is_unserved_only_after_the_grace(store: Arc<dyn Store>) {
    let run = start(&store, checkout()).await;
    assert_eq!(store.run(run, LONG).await.unwrap().unwrap().served, Served::Yes);
    assert!(store.unserved(LONG).await.unwrap().is_empty());
    until("the grace is over", async || {
        let seen = store.run(run, Duration::from_millis(1)).await.unwrap().unwrap();
        seen.served != Served::Yes && !store.unserved(Duration::from_millis(1)).await.unwrap().is_empty()
    })
    .await;
    // One that is not due yet, or that somebody has, is not waiting for anyone.
    let later = start(&store, NewRun { delay: LONG, ..checkout() }).await;
    assert_eq!(served(&store, later).await, Served::Yes);
    let mut worker = Hand::new(&store).await;
    assert_eq!(worker.claim_one().await.id, run);
    store.remove_worker(Hand::new(&store).await.id).await.unwrap();
    assert_eq!(served(&store, run).await, Served::Yes);
}

async fn served(store: &Arc<dyn Store>, run: RunId) -> Served {
    store.run(run, Duration::ZERO).await.unwrap().unwrap().served
}

/// Asks until a run that nobody serves shows it: "older than the grace" needs a moment even without one.
async fn unserved(store: &Arc<dyn Store>, run: RunId) -> Served {
    let mut found = Served::Yes;
    until("the run is unserved", async || {
        found = served(store, run).await;
        found != Served::Yes
    })
    .await;
    found
}

pub async fn a_run_is_missing_its_handler(store: Arc<dyn Store>) {
    let run = start(&store, checkout()).await;
    Hand::register(&store, worker_serving(LONG, "refund", "1", Digest(0xB0), Digest(0xB1))).await;
    assert_eq!(unserved(&store, run).await, Served::MissingHandler);
    assert_eq!(store.run(run, Duration::ZERO).await.unwrap().unwrap().status(), Status::BlockedMissingHandler);
    let worker = Hand::new(&store).await;
    assert_eq!(served(&store, run).await, Served::Yes);
    store.remove_worker(worker.id).await.unwrap();
    assert_eq!(served(&store, run).await, Served::MissingHandler);
}

pub async fn a_run_is_missing_its_version(store: Arc<dyn Store>) {
    let run = start(&store, bound()).await;
    Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    assert_eq!(unserved(&store, run).await, Served::MissingVersion);
}

pub async fn a_run_is_missing_its_signature(store: Arc<dyn Store>) {
    let run = start(&store, bound()).await;
    Hand::register(&store, worker_serving(LONG, "checkout", "1", NAME, TWO)).await;
    assert_eq!(unserved(&store, run).await, Served::SignatureMismatch);
    assert_eq!(store.run(run, Duration::ZERO).await.unwrap().unwrap().status(), Status::BlockedSignatureMismatch);
}

pub async fn a_waiting_run_with_mail_is_missing_what_nobody_has(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let waiting = RunImage { state: State::Waiting, due: Due::Never, ..released() };
    worker.update(id, 0, waiting).await;
    store.remove_worker(worker.id).await.unwrap();
    let served = store.run(id, Duration::ZERO).await.unwrap().unwrap().served;
    assert_eq!(served, Served::Yes, "nothing makes it due");
    assert_eq!(store.unserved(Duration::ZERO).await.unwrap(), []);
    store.send_mail(&event(id, "1")).await.unwrap();
    assert_eq!(unserved(&store, id).await, Served::MissingHandler);
    assert_eq!(store.run(id, Duration::ZERO).await.unwrap().unwrap().status(), Status::BlockedMissingHandler);
    assert_eq!(store.unserved(Duration::ZERO).await.unwrap()[0].runs, 1);
    assert_eq!(store.run(id, LONG).await.unwrap().unwrap().status(), Status::Waiting, "it is not long ago");
}

pub async fn a_dead_worker_serves_nothing(store: Arc<dyn Store>) {
    let run = start(&store, bound()).await;
    Hand::expired(&store).await;
    assert_eq!(unserved(&store, run).await, Served::MissingHandler);
    assert_eq!(store.unserved(Duration::ZERO).await.unwrap()[0].offered, []);
}

pub async fn unserved_runs_are_grouped_and_say_so_in_words(store: Arc<dyn Store>) {
    let wanted = Digest(0xA1B2C3D4 << 96);
    let offered = Digest(0xB2C3D4E5 << 96);
    let mut last = RunId::new();
    for _ in 0..3 {
        last = start(&store, NewRun { definition: Some(wanted), needs: wanted, ..bound() }).await;
    }
    start(&store, NewRun { workflow: "refund".into(), needs: Digest(9), start_needs: Digest(9), ..checkout() }).await;
    let mut worker = Hand::register(&store, worker_serving(LONG, "checkout", "1", NAME, offered)).await;
    start(&store, checkout()).await;
    unserved(&store, last).await;
    let mut groups = Vec::new();
    until("all of them are due", async || {
        groups = store.unserved(Duration::ZERO).await.unwrap();
        groups.len() == 2
    })
    .await;
    let expected = Unserved {
        workflow: "checkout".into(),
        version: Some("1".into()),
        definition: Some(wanted),
        runs: 3,
        offered: vec![("1".into(), offered)],
    };
    assert_eq!(groups[0], expected);
    assert_eq!(groups[0].to_string(), "3 runs of checkout 1 wait for signature a1b2c3d4; live workers have b2c3d4e5");
    assert_eq!(groups[1].to_string(), "1 run of refund waits for a worker that has this workflow; no live worker does");
    assert_eq!(worker.claim(10).await.len(), 1);
}

pub async fn journals_come_back_in_the_order_asked_for(store: Arc<dyn Store>) {
    let mut asked = Vec::new();
    for n in 0..40 {
        let run = start(&store, NewRun { input: json(&n.to_string()), ..checkout() }).await;
        asked.push((run, 0));
    }
    asked.reverse();
    asked.push(asked[3]);
    let journals = store.load_journals(&asked).await.unwrap();
    assert_eq!(journals.iter().map(|journal| (journal.run, journal.generation)).collect::<Vec<_>>(), asked);
    let inputs: Vec<_> = journals.iter().map(|journal| journal.entries[0].output.clone().unwrap()).collect();
    assert_eq!(inputs[0], json("39"));
    assert_eq!(inputs[40], inputs[3]);
}

pub async fn versions_of_live_workers_are_known_with_what_they_are_for(store: Arc<dyn Store>) {
    let serving = |workflow: &str, versions: &[(&str, VersionStatus)]| {
        let mut worker = worker_serving(LONG, workflow, "1", NAME, ONE);
        let row = worker.definitions.remove(0);
        worker.definitions = (versions.iter())
            .map(|(version, status)| DefinitionRow { version: (*version).into(), status: *status, ..row.clone() })
            .collect();
        worker
    };
    use VersionStatus::{Active, Deprecated, Staging};
    Hand::register(&store, serving("checkout", &[("1", Active), ("2", Staging)])).await;
    Hand::register(&store, serving("checkout", &[("1", Deprecated), ("2", Active), ("3", Staging)])).await;
    Hand::register(&store, serving("billing", &[("9", Deprecated)])).await;
    let dead = NewWorker { lease: Duration::ZERO, ..serving("forgotten", &[("1", Active)]) };
    store.register_worker(&dead).await.unwrap();
    let known = store.known_versions().await.unwrap();
    let known: Vec<_> = known.iter().map(|known| (&*known.workflow, &*known.version, known.status)).collect();
    let checkout = [("checkout", "1", Active), ("checkout", "2", Active), ("checkout", "3", Staging)];
    assert_eq!(known, [&[("billing", "9", Deprecated)], &checkout[..]].concat());
}

pub async fn journals_come_back_as_far_as_they_fit(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let long = format!("\"{}\"", "x".repeat(998));
    let mut asked = Vec::new();
    for steps in [1, 3, 1] {
        let run = bound();
        asked.push((run.id, 0));
        worker.bear(run.clone()).await;
        let entries = (0..steps).map(|n| completed("step:charge", n, n as i32 + 1, &long)).collect();
        worker.append(run.id, entries).await;
    }
    let loaded = async |bytes: usize| {
        let journals = store.load_journals_up_to(&asked, bytes).await.unwrap();
        let ids: Vec<_> = journals.iter().map(|journal| (journal.run, journal.generation)).collect();
        assert_eq!(ids, asked[..ids.len()]);
        journals.iter().map(|journal| journal.entries.len()).collect::<Vec<_>>()
    };
    assert_eq!(loaded(usize::MAX).await, [2, 4, 2]);
    assert_eq!(loaded(1_500).await, [2], "no journal comes in parts, and none after one that does not fit");
    assert_eq!(loaded(4_500).await, [2, 4]);
    assert!(loaded(500).await.is_empty());
    for (bytes, pieces) in [(500, 1), (1_500, 1), (4_500, 2), (usize::MAX, 3)] {
        let piece = load_each(&*store, &asked, bytes).await;
        assert_eq!(piece.iter().flatten().count(), pieces, "one at least, and no more than fit");
    }
    let empty = (RunId::new(), 0);
    let loaded = store.load_journals_up_to(&[empty, asked[0], empty, asked[1]], 1_500).await.unwrap();
    let lengths: Vec<_> = loaded.iter().map(|journal| journal.entries.len()).collect();
    assert_eq!(lengths, [0, 2, 0], "one without entries fits wherever it stands");
    assert_eq!(store.load_journals(&asked).await.unwrap()[1].bytes(), 3_000 + bound().input.as_str().len());
}

pub async fn a_journal_that_can_be_read_is_not_unreadable(store: Arc<dyn Store>) {
    let (run, other) = (start(&store, checkout()).await, start(&store, checkout()).await);
    assert_eq!(store.find_unreadable(run, 0).await.unwrap(), None);
    assert_eq!(store.find_unreadable(other, 0).await.unwrap(), None);
}
