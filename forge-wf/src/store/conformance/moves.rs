//! Promises of `move_run` and `strays`.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::time::from_micros;
use crate::model::{BlockReason, CallId, Digest, Phase, RunId, State, WorkerId};
use crate::store::moves::weight;
use crate::store::{
    Audit, DefinitionRow, Due, FindStrays, MailKind, MoveRun, Mover, NewMail, NewRun, NewWorker, RunImage, Store,
    StrayVersion,
};

/// What an unbound run of version 1 needs.
const ONE_UNBOUND: Digest = Digest(0xA5);
/// The same of version 2.
const TWO_UNBOUND: Digest = Digest(0xA3);

/// The move of a run to version 2.
fn to_two(run: RunId, by: Mover) -> MoveRun {
    let mut entry = Entry::new(CallId::new("move", 0), EntryKind::Move, EntryState::Completed, from_micros(7));
    entry.args = Some(json("{\"from\":\"1\",\"to\":\"2\"}"));
    MoveRun { run, by, generation: 0, definition: TWO, version: "2".into(), unbound: (NAME, TWO_UNBOUND), entry }
}

fn audit() -> Audit {
    Audit { who: "ada".into(), action: "move".into(), details: "because".into() }
}

async fn weighed(store: &Arc<dyn Store>, run: RunId) -> Mover {
    Mover::Anybody { weight: weight(&entries(store, run).await) }
}

pub async fn a_run_is_moved_by_its_owner_only_and_says_so_once(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    let claim_no = worker.claim_one().await.claim_no;
    let owner = |worker, claim_no| Mover::Owner { worker, claim_no };
    let moved = to_two(run, owner(worker.id, claim_no));
    for by in [owner(WorkerId::new(), claim_no), owner(worker.id, claim_no + 1), weighed(&store, run).await] {
        assert!(!store.move_run(&MoveRun { by, ..moved.clone() }, None).await.unwrap());
    }
    assert_eq!(view(&store, run).await.definition, Some(ONE));
    for _ in 0..2 {
        assert!(store.move_run(&moved, None).await.unwrap());
    }
    let seen = view(&store, run).await;
    assert_eq!((seen.definition, seen.version.as_deref()), (Some(TWO), Some("2")));
    assert_eq!(entries(&store, run).await.pop(), Some(moved.entry));
    worker.update(run, claim_no, RunImage { needs: Some(TWO), ..released() }).await;
    assert!(worker.claim(9).await.is_empty(), "it needs the other version now");
    let mut next = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    assert_eq!(next.claim_one().await.definition, Some(TWO));
    assert_eq!(store.audit(run).await.unwrap(), []);
}

pub async fn a_run_nobody_owns_is_moved_if_nobody_wrote_to_it_and_it_is_told_once(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    let before = weighed(&store, run).await;
    // Somebody has it for a moment, and it has grown.
    let claim_no = worker.claim_one().await.claim_no;
    worker.append(run, vec![started("step:charge", 0)]).await;
    worker.update(run, claim_no, waiting(Due::Never)).await;
    assert!(!store.move_run(&to_two(run, before), Some(&audit())).await.unwrap());
    // Nor has an outcome been written since, where no entry was added.
    let before = weighed(&store, run).await;
    store.send_mail(&event(run, "1")).await.unwrap();
    let claim_no = worker.claim_one().await.claim_no;
    worker
        .commit(crate::store::Batch {
            outcomes: writes(run, vec![completed("step:charge", 0, 1, "1")]),
            ..Default::default()
        })
        .await;
    worker.update(run, claim_no, released()).await;
    assert!(!store.move_run(&to_two(run, before), Some(&audit())).await.unwrap());

    let moved = to_two(run, weighed(&store, run).await);
    assert!(!store.move_run(&MoveRun { generation: 1, ..moved.clone() }, Some(&audit())).await.unwrap());
    for _ in 0..2 {
        assert!(store.move_run(&moved, Some(&audit())).await.unwrap(), "sent again it is still so");
    }
    assert_eq!(calls(&store, run).await.last().map(String::as_str), Some("move#0"));
    let told = store.audit(run).await.unwrap();
    assert_eq!(told.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), [audit()]);
    assert!(worker.claim(9).await.is_empty(), "it needs the other version now");
    let mut next = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    assert_eq!(next.claim_one().await.id, run);
}

pub async fn a_move_wakes_what_waits_or_was_blocked_by_its_code_and_ends_no_pause(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let later = Due::At(now() + Duration::from_secs(3_600));
    let paused = RunImage { block_reason: Some(BlockReason::Paused), ..paused() };
    let turning = RunImage { phase: Phase::Undo, ..released() };
    for (image, state, moves, wakes) in [
        (waiting(later), State::Ready, true, true),
        (blocked(BlockReason::Divergence, "build-1"), State::Ready, true, true),
        (paused, State::Paused, true, false),
        (blocked(BlockReason::Compensation, "build-1"), State::Blocked, true, false),
        (turning, State::Ready, false, false),
        (ended(State::Completed), State::Completed, false, false),
    ] {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, image).await;
        let before = view(&store, id).await;
        assert_eq!(store.move_run(&to_two(id, weighed(&store, id).await), None).await.unwrap(), moves, "{state:?}");
        let after = view(&store, id).await;
        assert_eq!((after.state, after.definition == Some(TWO)), (state, moves));
        if wakes {
            assert_eq!((after.block_reason, after.failure), (None, None));
        } else {
            let kept = (before.ready_at, before.block_reason, before.failure);
            assert_eq!((after.ready_at, after.block_reason, after.failure), kept);
        }
    }
    let offer = |needs| worker_serving(LONG, "checkout", "2", needs, TWO);
    let mut next = Hand::register(&store, offer(NAME)).await;
    assert_eq!(next.claim(9).await.len(), 2, "those that were woken are due");
}

pub async fn a_moved_run_that_is_unbound_asks_for_the_version_it_was_moved_to(store: Arc<dyn Store>) {
    let mut next = Hand::register(&store, worker_serving(LONG, "checkout", "2", TWO_UNBOUND, TWO)).await;
    let asked = NewRun { version: Some("1".into()), needs: ONE_UNBOUND, start_needs: ONE_UNBOUND, ..checkout() };
    let typed = NewRun { start_needs: ONE_UNBOUND, ..bound() };
    for (run, needs, version) in [(asked, TWO_UNBOUND, Some("2")), (typed, TWO_UNBOUND, None), (bound(), NAME, None)] {
        let run = start(&store, run).await;
        assert!(store.move_run(&to_two(run, weighed(&store, run).await), None).await.unwrap());
        let claim_no = next.claim_one().await.claim_no;
        next.update(run, claim_no, RunImage { unbind: true, ..released() }).await;
        assert_eq!(view(&store, run).await.version.as_deref(), version);
        let mut anyone = Hand::register(&store, worker_serving(LONG, "checkout", "3", needs, Digest(0xA4))).await;
        assert_eq!(anyone.claim_one().await.id, run);
        anyone.update(run, anyone.claim_no, paused()).await;
    }
}

pub async fn strays_are_due_runs_that_nobody_else_is_needed_for(store: Arc<dyn Store>) {
    let mut old = Hand::new(&store).await;
    let due = start(&store, bound()).await;
    let by_mail = bound();
    let (mailed, resting, elsewhere) = (by_mail.id, bound(), start(&store, checkout()).await);
    let silent = resting.id;
    for (run, due) in [(by_mail, Due::Never), (resting, Due::At(now() + Duration::from_secs(3_600)))] {
        let id = run.id;
        old.bear(run).await;
        old.update(id, 0, waiting(due)).await;
    }
    store.send_mail(&event(mailed, "1")).await.unwrap();
    let stopped = bound();
    let stopped_id = stopped.id;
    old.bear(stopped).await;
    old.update(stopped_id, 0, paused()).await;
    // Mail makes no run due before its delay is over.
    let delayed = start(&store, NewRun { delay: LONG, ..bound() }).await;
    store.send_mail(&event(delayed, "1")).await.unwrap();
    store.remove_worker(old.id).await.unwrap();

    let new = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    let version =
        |version: &str, is_replaced| StrayVersion { workflow: "checkout".into(), version: version.into(), is_replaced };
    let find = FindStrays {
        worker: new.id,
        algorithm: 1,
        versions: [version("2", false), version("1", true)].into(),
        after: None,
        limit: 10,
    };
    let found =
        async |find: FindStrays| store.strays(&find).await.unwrap().into_iter().map(|it| it.run).collect::<Vec<_>>();
    let mut both = vec![due, mailed];
    both.sort();
    assert_eq!(found(find.clone()).await, both);
    store.send_mail(&NewMail { kind: MailKind::Resume, ..event(stopped_id, "{}") }).await.unwrap();
    both.push(stopped_id);
    both.sort();
    assert_eq!(found(find.clone()).await, both, "what has been paused is due by an order");
    assert_eq!(found(FindStrays { limit: 1, ..find.clone() }).await, both[..1]);
    assert_eq!(found(FindStrays { after: Some(both[0]), ..find.clone() }).await, both[1..]);
    let stray = store.strays(&find).await.unwrap().into_iter().find(|stray| stray.run == due).unwrap();
    assert_eq!((stray.generation, stray.seed, &*stray.workflow, &*stray.version), (0, -17, "checkout", "1"));
    // A version that is not replaced has strays only by an older algorithm.
    let own = FindStrays { versions: [version("1", false)].into(), ..find.clone() };
    assert_eq!(found(own.clone()).await, []);
    assert_eq!(found(FindStrays { algorithm: 2, ..own }).await, both);
    // Whoever offers the signature claims the runs, and a claimed one is nobody's stray.
    let mut again = Hand::new(&store).await;
    assert_eq!(found(FindStrays { worker: again.id, ..find.clone() }).await, []);
    let claimed: Vec<_> = again.claim(10).await.into_iter().map(|run| run.id).collect();
    assert!(claimed.contains(&due) && claimed.contains(&elsewhere) && !claimed.contains(&silent), "{claimed:?}");
    assert_eq!(found(find).await, []);
}

pub async fn a_signature_outlives_the_workers_that_had_it(store: Arc<dyn Store>) {
    let other = NewWorker {
        definitions: vec![DefinitionRow { algorithm: 0, ..worker(LONG).definitions.remove(0) }],
        ..worker(LONG)
    };
    let old = Hand::register(&store, other).await;
    let run = start(&store, NewRun { ..bound() }).await;
    store.remove_worker(old.id).await.unwrap();
    let new = Hand::register(&store, worker_serving(LONG, "checkout", "1", NAME, TWO)).await;
    let versions = [StrayVersion { workflow: "checkout".into(), version: "1".into(), is_replaced: false }];
    let find = FindStrays { worker: new.id, algorithm: 1, versions: versions.into(), after: None, limit: 10 };
    assert_eq!(store.strays(&find).await.unwrap().into_iter().map(|it| it.run).collect::<Vec<_>>(), [run]);
}
