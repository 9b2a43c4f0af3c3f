//! Promises of `claim_runs` and `owned_runs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::model::time::from_micros;
use crate::model::{BlockReason, Digest, RunId, Served, State, Status};
use crate::store::{Batch, Birth, ClaimRequest, Due, MailKind, NewMail, NewRun, Parent, Store};

pub async fn many_claimers_never_share_a_run(store: Arc<dyn Store>) {
    for _ in 0..60 {
        start(&store, checkout()).await;
    }
    let mut claimers = Vec::new();
    for _ in 0..6 {
        let mut worker = Hand::new(&store).await;
        claimers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            // Others may hold what is due just now, so an empty answer ends it only when all runs are owned.
            for _ in 0..40 {
                mine.extend(worker.claim(3).await.into_iter().map(|run| run.id));
            }
            mine
        }));
    }
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    let distinct: HashSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (60, 60));
}

pub async fn a_claim_takes_no_more_than_its_slots(store: Arc<dyn Store>) {
    for _ in 0..5 {
        start(&store, checkout()).await;
    }
    let mut worker = Hand::new(&store).await;
    assert!(worker.claim(0).await.is_empty());
    assert_eq!(worker.claim(3).await.len(), 3);
    assert_eq!(worker.claim(3).await.len(), 2);
    assert!(worker.claim(3).await.is_empty());
}

pub async fn higher_priority_goes_first_then_the_longest_waiting(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for (place, priority) in [(3, 0), (0, 9), (5, -2), (4, 0), (1, 9), (2, 1)] {
        // Half of them are unbound: they need something else, and are in one order all the same.
        let run = if place % 2 == 0 { checkout() } else { bound() };
        let id = start(&store, NewRun { priority, ..run }).await;
        let due = view(&store, id).await.ready_at.unwrap();
        until("the clock has moved", async || {
            let probe = start(&store, NewRun { workflow: "clock".into(), needs: TWO, ..checkout() }).await;
            view(&store, probe).await.ready_at.unwrap() > due
        })
        .await;
        expected.push((place, id));
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let mut worker = Hand::new(&store).await;
    let mut found = Vec::new();
    for slots in [2, 3, 9] {
        found.extend(worker.claim(slots).await.into_iter().map(|run| run.id));
    }
    assert_eq!(found, expected);
}

pub async fn a_delayed_run_is_not_due_yet(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let later = start(&store, NewRun { delay: LONG, priority: 100, ..checkout() }).await;
    assert!(worker.claim(10).await.is_empty());
    assert!(view(&store, later).await.due_later);
    let soon = start(&store, NewRun { delay: Duration::from_millis(5), ..checkout() }).await;
    let mut claimed = Vec::new();
    until("the run is due", async || {
        claimed = worker.claim(10).await;
        !claimed.is_empty()
    })
    .await;
    assert_eq!(claimed[0].id, soon);
}

pub async fn nothing_but_time_begins_a_delayed_run(store: Arc<dyn Store>) {
    const OTHER: Digest = Digest(0xA9);
    let mut worker = Hand::new(&store).await;
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    let mail = |run, kind| NewMail { kind, ..event(run, "{}") };
    for run in [checkout(), bound()] {
        let id = start(&store, NewRun { delay: LONG, ..run }).await;
        let due = view(&store, id).await.ready_at;
        use MailKind::{Event, Pause, Resume, Retry, Settle};
        for kind in [Event, Pause, Resume, Retry, Settle] {
            store.send_mail(&mail(id, kind)).await.unwrap();
        }
        assert!(worker.claim(9).await.is_empty(), "mail waits");
        let view = view(&store, id).await;
        assert_eq!((view.ready_at, view.status()), (due, Status::Pending));
        store.send_mail(&mail(id, MailKind::Cancel)).await.unwrap();
        let claimed = stranger.claim_one().await;
        assert_eq!(claimed.id, id, "what ends it does so at once");
        stranger.update(id, claimed.claim_no, ended(State::Cancelled)).await;
    }
    // Nor does mail that waits show it as one that no worker takes.
    let nobody = NewRun { workflow: "nobody".into(), needs: NAME, start_needs: NAME, delay: LONG, ..checkout() };
    let nobody = start(&store, NewRun { needs: Digest(0xAA), start_needs: Digest(0xAA), ..nobody }).await;
    store.send_mail(&mail(nobody, MailKind::Event)).await.unwrap();
    assert!(store.unserved(Duration::ZERO).await.unwrap().is_empty());
    let shown = store.run(nobody, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((shown.served, shown.status()), (Served::Yes, Status::Pending));
    // Once its time has come it is claimed, and its mail is there.
    let soon = start(&store, NewRun { delay: Duration::from_millis(5), ..checkout() }).await;
    store.send_mail(&mail(soon, MailKind::Event)).await.unwrap();
    let mut claimed = Vec::new();
    until("the run is due", async || {
        claimed = worker.claim(10).await;
        !claimed.is_empty()
    })
    .await;
    assert_eq!(claimed[0].id, soon);
    assert_eq!(store.load_mail(&[soon]).await.unwrap()[0].page.mail.len(), 1);
}

pub async fn a_waiting_run_is_claimed_when_it_is_due(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (past, later, never) = (bound(), bound(), bound());
    let ids = [past.id, later.id, never.id];
    let dues = [Due::At(from_micros(1)), Due::At(now() + LONG), Due::Never];
    for (run, due) in [past, later, never].into_iter().zip(dues) {
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, waiting(due)).await;
    }
    assert_eq!(
        view(&store, ids[1]).await.ready_at,
        Some(match dues[1] {
            Due::At(at) => at,
            _ => unreachable!("it was just given a time"),
        })
    );
    assert_eq!(worker.claim_one().await.id, ids[0]);
    assert_eq!(view(&store, ids[0]).await.state, State::Owned);
    assert_eq!(view(&store, ids[1]).await.worker, None);
}

pub async fn a_claim_takes_only_what_it_offers(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    start(&store, NewRun { definition: Some(TWO), needs: TWO, priority: 9, ..checkout() }).await;
    let mine = start(&store, bound()).await;
    assert_eq!(worker.claim_one().await.id, mine);
    // What counts is the request: a worker may hold back what it registered.
    let held_back = start(&store, bound()).await;
    worker.offers = worker.offers.iter().filter(|offer| offer.needs == NAME).cloned().collect();
    assert!(worker.claim(10).await.is_empty());
    worker.offers = Arc::from([]);
    assert!(worker.claim(10).await.is_empty());
    assert_eq!(view(&store, held_back).await.worker, None);
}

pub async fn a_claim_binds_an_unbound_run(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, checkout()).await;
    let before = view(&store, run).await;
    assert_eq!((before.definition, before.version), (None, None));
    let claimed = worker.claim_one().await;
    assert_eq!((claimed.id, claimed.definition, claimed.generation, claimed.seed), (run, Some(ONE), 0, -17));
    assert_eq!((&*claimed.workflow, claimed.takeovers), ("checkout", 0));
    let after = view(&store, run).await;
    assert_eq!((after.definition, after.version.as_deref(), after.worker), (Some(ONE), Some("1"), Some(worker.id)));
}

pub async fn a_released_run_may_be_unbound_again(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, checkout()).await;
    let claimed = worker.claim_one().await;
    // The image names what is needed now; an unbound run needs what it was started with.
    worker.update(run, claimed.claim_no, crate::store::RunImage { unbind: true, ..released() }).await;
    assert_eq!(view(&store, run).await.definition, None);
    let mut newer = Hand::register(&store, worker_serving(LONG, "checkout", "2", NAME, TWO)).await;
    let claimed = newer.claim_one().await;
    assert_eq!((claimed.id, claimed.definition), (run, Some(TWO)));
}

pub async fn a_repeated_claim_returns_the_same_runs(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for priority in [1, 3, 2] {
        start(&store, NewRun { priority, ..checkout() }).await;
    }
    let request = worker.request(2);
    let first = store.claim_runs(&request).await.unwrap();
    let again = store.claim_runs(&request).await.unwrap();
    assert_eq!((first.runs.len(), &first.runs), (2, &again.runs));
    worker.claim_no = 1;
    let rest = worker.claim(2).await;
    assert_eq!((rest.len(), rest[0].claim_no), (1, 2));
    assert!(first.runs.iter().all(|run| run.claim_no == 1 && run.id != rest[0].id));
}

pub async fn a_claim_that_found_nothing_may_be_repeated_or_skipped(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for _ in 0..3 {
        assert!(worker.claim(5).await.is_empty());
    }
    assert!(store.claim_runs(&worker.request(5)).await.unwrap().runs.is_empty());
    let run = start(&store, checkout()).await;
    // The same number again, which found nothing before: now it finds something.
    let claimed = worker.claim_one().await;
    assert_eq!((claimed.id, claimed.claim_no), (run, 4));
}

pub async fn a_worker_adopts_only_what_it_owns(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mut other = Hand::new(&store).await;
    let theirs = start(&store, checkout()).await;
    assert_eq!(other.claim_one().await.id, theirs);
    let mine = bound();
    let mine_id = mine.id;
    worker.bear(mine).await;
    let free = start(&store, NewRun { delay: LONG, ..checkout() }).await;

    let mut request = worker.request(0);
    request.adopt = vec![theirs, mine_id, free, RunId::new()];
    let adopted = store.claim_runs(&request).await.unwrap().runs;
    assert_eq!(adopted.iter().map(|run| (run.id, run.claim_no)).collect::<Vec<_>>(), [(mine_id, 1)]);
    assert_eq!(store.claim_runs(&request).await.unwrap().runs, adopted, "an answer that was lost");
    worker.claim_no = 1;
    worker.update(mine_id, 1, paused()).await;
    assert_eq!(view(&store, theirs).await.worker, Some(other.id));
    assert_eq!(view(&store, free).await.worker, None);
}

pub async fn paused_and_blocked_runs_are_not_claimed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for image in [paused(), blocked(BlockReason::Panic, "build-1")] {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, image).await;
        assert!(worker.claim(10).await.is_empty());
    }
}

pub async fn owned_runs_are_listed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let born = bound();
    let mut expected = vec![born.id, start(&store, checkout()).await];
    let claimed = worker.claim_one().await;
    worker.bear(born).await;
    // A run that waits in memory is owned as well.
    let resident = crate::store::RunImage { keep: true, ..waiting(Due::Never) };
    worker.update(claimed.id, claimed.claim_no, resident).await;
    let other = bound();
    let other_id = other.id;
    worker.bear(other).await;
    worker.update(other_id, 0, released()).await;
    let mut owned = store.owned_runs(worker.id).await.unwrap();
    owned.sort();
    expected.sort();
    assert_eq!(owned, expected);
}

pub async fn an_idle_claim_says_when_the_next_run_is_due(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    assert_eq!(worker.claim_all_about_it(10).await.next_due, None);
    // Others' runs, and what only mail makes due, are no reason to come back.
    start(&store, NewRun { definition: Some(TWO), needs: TWO, delay: LONG / 9, ..checkout() }).await;
    let waits = bound();
    let waits_id = waits.id;
    worker.bear(waits).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    assert_eq!(worker.claim_all_about_it(10).await.next_due, None);

    let mut expected = None;
    for (delay, priority) in [(4, 0), (3, 5), (2, -5), (3, 0)] {
        let run = start(&store, NewRun { delay: LONG * delay, priority, ..checkout() }).await;
        let due = view(&store, run).await.ready_at;
        expected = expected.min(due).or(due);
        assert_eq!(worker.claim_all_about_it(10).await.next_due, expected);
    }
    let sleeps = bound();
    let sleeps_id = sleeps.id;
    let due = now() + LONG;
    worker.bear(sleeps).await;
    worker.update(sleeps_id, 0, waiting(Due::At(due))).await;
    assert_eq!(worker.claim_all_about_it(10).await.next_due, Some(due));
    start(&store, checkout()).await;
    let claim = worker.claim_all_about_it(10).await;
    assert_eq!((claim.runs.len(), claim.next_due), (1, None), "there is a run");
}

pub async fn a_claim_tells_the_databases_time(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let before = store.renew_lease(worker.id).await.unwrap().now;
    let idle = worker.claim_all_about_it(10).await;
    assert!(idle.now >= before);
    let run = start(&store, checkout()).await;
    let due = view(&store, run).await.ready_at.unwrap();
    let request = worker.request(10);
    let claim = store.claim_runs(&request).await.unwrap();
    assert!(claim.runs.len() == 1 && claim.now >= due && claim.now >= idle.now);
    let again = store.claim_runs(&request).await.unwrap();
    assert!(again.runs == claim.runs && again.now >= claim.now);
}

pub async fn a_child_comes_with_its_parent(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let parent = Parent { run: RunId::new(), call: Some("child:checkout#3".into()) };
    let (born, started) = (bound(), NewRun { parent: Some(parent.clone()), ..checkout() });
    let born = NewRun { parent: Some(parent.clone()), ..born };
    worker.commit(Batch { births: vec![Birth { run: born, image: released() }], ..Batch::default() }).await;
    start(&store, started).await;
    let request = worker.request(10);
    let claimed = store.claim_runs(&request).await.unwrap().runs;
    assert_eq!(claimed.iter().map(|run| run.parent.clone()).collect::<Vec<_>>(), [Some(parent.clone()), Some(parent)]);
    assert_eq!(store.claim_runs(&request).await.unwrap().runs, claimed);
}

pub async fn a_detached_child_answers_nobody(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let parent = Parent { run: RunId::new(), call: None };
    start(&store, NewRun { parent: Some(parent.clone()), ..checkout() }).await;
    assert_eq!(worker.claim_one().await.parent, Some(parent));
    start(&store, checkout()).await;
    assert_eq!(worker.claim_one().await.parent, None);
}

pub async fn a_run_that_is_bound_by_a_claim_has_the_timeout_of_the_offer(store: Arc<dyn Store>) {
    let timeout = Duration::from_secs(60);
    let mut worker = worker(LONG);
    worker.offers.iter_mut().for_each(|offer| offer.timeout = Some(timeout));
    let mut worker = Hand::register(&store, worker).await;
    let unbound = start(&store, checkout()).await;
    let due = view(&store, unbound).await.ready_at.unwrap();
    assert_eq!(worker.claim_one().await.deadline_at, Some(due + timeout), "from when it was due");
    let earlier = Some(now());
    start(&store, NewRun { deadline_at: earlier, ..checkout() }).await;
    assert_eq!(worker.claim_one().await.deadline_at, earlier, "what was said at its start stays");
    start(&store, bound()).await;
    assert_eq!(worker.claim_one().await.deadline_at, None, "a bound run was given what it has at its start");
}

pub async fn a_claim_leaves_the_runs_it_avoids_to_others(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (avoided, with_mail, other) = (start(&store, bound()).await, bound(), start(&store, bound()).await);
    let with_mail_id = with_mail.id;
    worker.bear(with_mail).await;
    worker.update(with_mail_id, 0, waiting(Due::Never)).await;
    worker.send(vec![event(with_mail_id, "1")]).await;
    let avoiding = |worker: &Hand| ClaimRequest { avoid: vec![avoided, with_mail_id], ..worker.request(10) };
    let claim = store.claim_runs(&avoiding(&worker)).await.unwrap();
    assert_eq!(claim.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [other]);
    worker.claim_no += 1;
    let claim = store.claim_runs(&avoiding(&worker)).await.unwrap();
    assert!(claim.runs.is_empty() && !claim.contended, "what it avoids is not due for it");
    worker.claim_no += 1;
    assert_eq!(Hand::new(&store).await.claim(10).await.len(), 2);
}
