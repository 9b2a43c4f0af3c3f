//! Promises of `commit`: nothing is written for a run that the worker does not own.

use std::sync::Arc;

use super::support::*;
use crate::journal::EntryState;
use crate::model::{RunId, State};
use crate::store::{Batch, Birth, Mark, Marked, Owned, RunUpdate, SavedState, Sent, Store};

pub async fn one_lost_run_does_not_fail_its_neighbours(store: Arc<dyn Store>) {
    let mut first = Hand::new(&store).await;
    let mut other = Hand::new(&store).await;
    let (mine, lost, unknown) = (bound(), bound(), RunId::new());
    let (mine_id, lost_id) = (mine.id, lost.id);
    first.bear(mine).await;
    first.bear(lost).await;
    first.update(lost_id, 0, released()).await;
    let claimed = other.claim_one().await;
    assert_eq!(claimed.id, lost_id);

    let update = |run| RunUpdate { run, claim_no: 0, image: paused() };
    let answer = first
        .try_commit(Batch {
            updates: vec![update(lost_id), update(mine_id), update(unknown)],
            inserts: writes(mine_id, vec![completed("step:charge", 0, 1, "1")]),
            ..Batch::default()
        })
        .await
        .unwrap();
    let mut refused = answer.not_yours;
    refused.sort();
    let mut expected = vec![lost_id, unknown];
    expected.sort();
    assert_eq!(refused, expected);
    assert_eq!(view(&store, mine_id).await.state, State::Paused);
    assert_eq!(calls(&store, mine_id).await.len(), 2);
    let lost = view(&store, lost_id).await;
    assert_eq!((lost.state, lost.worker), (State::Owned, Some(other.id)));
}

pub async fn an_update_under_an_old_claim_is_not_yours(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = start(&store, bound()).await;
    let first = worker.claim_one().await;
    worker.update(run, first.claim_no, released()).await;
    let second = worker.claim_one().await;
    assert!(second.claim_no > first.claim_no);
    let late = RunUpdate { run, claim_no: first.claim_no, image: paused() };
    let answer = worker.try_commit(Batch { updates: vec![late], ..Batch::default() }).await.unwrap();
    assert_eq!(answer.not_yours, [run]);
    assert_eq!(view(&store, run).await.state, State::Owned);
}

pub async fn nothing_of_a_run_is_written_by_a_worker_that_does_not_own_it(store: Arc<dyn Store>) {
    try_to_write_for_a_lost_run(store, false).await;
}

pub async fn nothing_of_a_run_is_written_whose_row_cannot_be_updated(store: Arc<dyn Store>) {
    try_to_write_for_a_lost_run(store, true).await;
}

pub async fn a_child_that_the_new_owner_has_started_refuses_nothing(store: Arc<dyn Store>) {
    let (mut first, mut second) = (Hand::new(&store).await, Hand::new(&store).await);
    let run = bound();
    let id = run.id;
    first.bear(run).await;
    first.update(id, 0, released()).await;
    let claim_no = second.claim_one().await.claim_no;
    let births = vec![Birth { run: child_of(id), image: released() }];
    let owned = vec![Owned { run: id, claim_no }];
    second.commit(Batch { owned, births: births.clone(), ..Batch::default() }).await;
    let updates = vec![RunUpdate { run: id, claim_no: 0, image: paused() }];
    assert_eq!(first.try_commit(Batch { updates, births, ..Batch::default() }).await.unwrap().not_yours, [id]);
}

/// The batch also updates the rows of its runs, or only names their claims.
async fn try_to_write_for_a_lost_run(store: Arc<dyn Store>, updates: bool) {
    let (mut first, mut second) = (Hand::new(&store).await, Hand::new(&store).await);
    let (mine, lost, other) = (bound(), bound(), bound());
    let (mine_id, lost_id, other_id) = (mine.id, lost.id, other.id);
    for run in [mine, lost, other] {
        first.bear(run).await;
    }
    first.append(lost_id, vec![started("step:charge", 0)]).await;
    let unread = event(lost_id, "1");
    store.send_mail(&unread).await.unwrap();
    first.update(lost_id, 0, released()).await;
    let claimed = second.claim_one().await;
    assert_eq!(claimed.id, lost_id);

    // Everything a batch can hold, of the lost run and of one that is still owned.
    let (lost_child, my_child) = (child_of(lost_id), child_of(mine_id));
    let (lost_child_id, my_child_id) = (lost_child.id, my_child.id);
    let label = |run| writes(run, vec![completed("step:label", 0, 2, "2")]);
    let state = |run| SavedState { run, key: "progress".into(), value: json("1") };
    let sent = |by| Sent { by, mail: event(other_id, &format!("\"{by}\"")) };
    let runs = [mine_id, lost_id];
    let update = |run| RunUpdate { run, claim_no: 0, image: paused() };
    let batch = Batch {
        owned: if updates { vec![] } else { runs.map(|run| Owned { run, claim_no: 0 }).into() },
        births: [lost_child, my_child].map(|run| Birth { run, image: released() }).into(),
        updates: if updates { runs.map(update).into() } else { vec![] },
        inserts: [lost_id, mine_id].into_iter().flat_map(label).collect(),
        outcomes: writes(lost_id, vec![completed("step:charge", 0, 1, "1")]),
        marks: vec![Marked { run: lost_id, mark: Mark { mail: unread.id, taken: true } }],
        sent: [lost_id, mine_id].map(sent).into(),
        states: [lost_id, mine_id].map(state).into(),
        touches_all: false,
        stands_in: false,
        hurries: false,
    };
    assert_eq!(first.try_commit(batch).await.unwrap().not_yours, [lost_id]);
    assert_eq!(view(&store, lost_id).await.worker, Some(second.id));
    assert_eq!(calls(&store, lost_id).await, ["start#0", "step:charge#0"]);
    assert_eq!(entries(&store, lost_id).await[1].state, EntryState::Started);
    assert!(store.run(lost_child_id, LONG).await.unwrap().is_none());
    assert!(entries(&store, lost_child_id).await.is_empty());
    assert_eq!(store.state(lost_id, "progress").await.unwrap(), None);
    assert_eq!(bodies(&store.unnoticed_mail(second.id, &[]).await.unwrap()), ["1"], "it is not marked");
    assert_eq!(calls(&store, mine_id).await, ["start#0", "step:label#0"]);
    assert_eq!(calls(&store, my_child_id).await, ["start#0"]);
    assert_eq!(store.state(mine_id, "progress").await.unwrap(), Some(json("1")));
    assert_eq!(bodies(&store.unnoticed_mail(first.id, &[]).await.unwrap()), [format!("\"{mine_id}\"")]);

    // The same worker, under an earlier claim.
    second.update(lost_id, claimed.claim_no, released()).await;
    let again = second.claim(10).await.into_iter().find(|run| run.id == lost_id).expect("it is due");
    let old = Owned { run: lost_id, claim_no: claimed.claim_no };
    let late = Batch { owned: vec![old], inserts: label(lost_id), ..Batch::default() };
    assert_eq!(second.try_commit(late).await.unwrap().not_yours, [lost_id]);
    assert_eq!(calls(&store, lost_id).await.len(), 2);
    assert!(again.claim_no > claimed.claim_no);
}
