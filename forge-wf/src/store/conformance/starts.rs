//! Promises of `start_run`.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::journal::Entry;
use crate::model::{RunId, State};
use crate::store::{Batch, Birth, NewRun, Parent, RunImage, RunUpdate, Store};

pub async fn a_start_with_a_held_key_returns_the_first_run(store: Arc<dyn Store>) {
    let first = start(&store, keyed("order-17")).await;
    let second = keyed("order-17");
    let answer = store.start_run(&second).await.unwrap();
    assert_eq!((answer.id, answer.created), (first, false));
    assert!(store.run(second.id, LONG).await.unwrap().is_none(), "the second run was not inserted");
    assert!(entries(&store, second.id).await.is_empty(), "nor was its start entry");
}

pub async fn the_same_key_of_another_workflow_is_free(store: Arc<dyn Store>) {
    start(&store, keyed("order-17")).await;
    start(&store, NewRun { workflow: "refund".into(), ..keyed("order-17") }).await;
    start(&store, keyed("order-18")).await;
}

pub async fn many_starts_of_one_key_create_one_run(store: Arc<dyn Store>) {
    let starts: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let run = keyed("order-17");
                loop {
                    // Busy is an answer a store may give here; the contract is to call again.
                    match store.start_run(&run).await {
                        Err(crate::store::StoreError::Busy { .. }) => continue,
                        answer => return answer.expect("the run starts"),
                    }
                }
            })
        })
        .collect();
    let mut answers = Vec::new();
    for start in starts {
        answers.push(start.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    assert!(answers.iter().all(|answer| answer.id == answers[0].id));
    assert_eq!(calls(&store, answers[0].id).await, ["start#0"]);
}

pub async fn a_start_repeated_with_the_same_id_creates_once(store: Arc<dyn Store>) {
    for run in [checkout(), keyed("order-17")] {
        assert!(store.start_run(&run).await.unwrap().created);
        let again = store.start_run(&run).await.unwrap();
        assert_eq!((again.id, again.created), (run.id, false));
        assert_eq!(calls(&store, run.id).await, ["start#0"]);
    }
    // Also when the run has moved on meanwhile.
    let mut worker = Hand::new(&store).await;
    let run = keyed("order-18");
    start(&store, run.clone()).await;
    assert_eq!(worker.claim(10).await.len(), 3);
    assert_eq!(store.start_run(&run).await.unwrap().id, run.id);
    assert_eq!(view(&store, run.id).await.state, State::Owned);
}

pub async fn an_ended_run_still_holds_its_key(store: Arc<dyn Store>) {
    let run = start(&store, keyed("order-17")).await;
    let mut worker = Hand::new(&store).await;
    let claimed = worker.claim_one().await;
    worker
        .commit(Batch {
            updates: vec![RunUpdate { run, claim_no: claimed.claim_no, image: ended(State::Completed) }],
            inserts: writes(run, vec![end(1, "null")]),
            ..Batch::default()
        })
        .await;
    let answer = store.start_run(&keyed("order-17")).await.unwrap();
    assert_eq!((answer.id, answer.created), (run, false));
}

pub async fn a_started_run_keeps_its_input(store: Arc<dyn Store>) {
    let run = NewRun {
        tags: Some(json("{\"team\":\"shop\"}")),
        owner: Some("ada".into()),
        trace_parent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        deadline_at: Some(now()),
        parent: Some(Parent { run: RunId::new(), call: Some("child:checkout#0".into()) }),
        ..bound()
    };
    start(&store, run.clone()).await;
    let [entry] = &entries(&store, run.id).await[..] else { panic!("its start entry") };
    assert_eq!(*entry, Entry::start(run.input, entry.at), "with the database's own time");
}

pub async fn a_timeout_counts_by_the_databases_clock_from_when_the_run_is_due(store: Arc<dyn Store>) {
    let second = Duration::from_secs(1);
    // What the caller's clock says is off by hours, both ways.
    for at in [now() - LONG * 12, now() + LONG * 12] {
        let late = || NewRun { at, timeout: Some(60 * second), ..bound() };
        let started = start(&store, NewRun { delay: 30 * second, ..late() }).await;
        let mut worker = Hand::new(&store).await;
        let born = late();
        let (born_id, image) = (born.id, RunImage::ready(0, born.needs));
        worker.commit(Batch { births: vec![Birth { run: born, image }], ..Batch::default() }).await;
        for (run, wait) in [(started, 90 * second), (born_id, 60 * second)] {
            let view = store.run(run, LONG).await.unwrap().unwrap();
            assert_eq!(view.deadline_at, Some(view.created_at + wait));
        }
        let view = store.run(started, LONG).await.unwrap().unwrap();
        assert_eq!(entries(&store, started).await[0].at, view.created_at, "so its body does not begin in another time");
        let earlier = start(&store, NewRun { deadline_at: Some(view.created_at), ..late() }).await;
        assert_eq!(store.run(earlier, LONG).await.unwrap().unwrap().deadline_at, Some(view.created_at));
    }
    let endless = start(&store, NewRun { timeout: Some(Duration::MAX), delay: Duration::MAX, ..bound() }).await;
    assert!(store.run(endless, LONG).await.unwrap().unwrap().deadline_at.is_none_or(|at| at > now() + LONG));
}
