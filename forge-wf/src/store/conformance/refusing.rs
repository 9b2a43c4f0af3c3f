//! What a store promises about runs whose rows the database refuses to change. That takes a hand on the tables, so each backend keeps
//! these promises in a test of its own.

use std::sync::Arc;

use super::support::*;
use crate::model::{BlockReason, RunId, State};
use crate::store::{Claim, ClaimRequest, NewWorker, Store};

fn given(claim: &Claim) -> Vec<RunId> {
    claim.runs.iter().map(|run| run.id).collect()
}

fn refused(claim: &Claim) -> Vec<RunId> {
    claim.refused.iter().map(|(run, _)| *run).collect()
}

/// `refuse` has the database refuse each change of these runs' rows from now on, and of no others.
pub async fn a_run_that_the_database_refuses_to_give_keeps_no_other_from_being_given(
    store: Arc<dyn Store>,
    mut refuse: impl AsyncFnMut(Vec<RunId>),
) {
    let mut worker = Hand::new(&store).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(start(&store, bound()).await);
    }
    let [first, bad, third, last] = runs[..] else { unreachable!() };
    refuse(vec![bad]).await;
    let claim = worker.claim_all_about_it(2).await;
    assert_eq!((given(&claim), refused(&claim)), (vec![first], vec![]));
    let claim = worker.claim_all_about_it(2).await;
    assert_eq!((given(&claim), refused(&claim)), (vec![third], vec![bad]), "{claim:?}");
    // A worker that avoids it claims as if it were not there.
    let request = ClaimRequest { avoid: vec![bad], ..worker.request(10) };
    let claim = store.claim_runs(&request).await.unwrap();
    worker.claim_no += 1;
    assert_eq!((given(&claim), refused(&claim)), (vec![last], vec![]));
    let claim = worker.claim_all_about_it(10).await;
    assert_eq!((given(&claim), refused(&claim)), (vec![], vec![bad]), "it is to blame, though no other run is due");

    // Nor does one that is to be adopted.
    refuse(vec![first]).await;
    let adopt = ClaimRequest { adopt: vec![first, third], ..worker.request(10) };
    let claim = store.claim_runs(&adopt).await.unwrap();
    worker.claim_no += 1;
    assert_eq!((given(&claim), refused(&claim)), (vec![third], vec![first]));
    assert_eq!(worker.claim_one().await.id, bad, "nothing refuses it any more");
}

/// `refuse` as above.
pub async fn a_blocked_run_that_the_database_refuses_to_change_keeps_no_new_build_from_being_registered(
    store: Arc<dyn Store>,
    mut refuse: impl AsyncFnMut(Vec<RunId>),
) {
    let mut worker = Hand::new(&store).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        let run = bound();
        runs.push(run.id);
        worker.bear(run).await;
        worker.update(runs[runs.len() - 1], 0, blocked(BlockReason::Panic, "build-1")).await;
    }
    refuse(vec![runs[1], runs[4]]).await;
    let states = async || {
        let mut states = Vec::new();
        for run in &runs {
            states.push(view(&store, *run).await.state);
        }
        states
    };
    let build = |name: &str| NewWorker { build: name.into(), ..crate::store::conformance::support::worker(LONG) };
    Hand::register(&store, build("build-2")).await;
    assert_eq!(states().await, [State::Ready, State::Blocked, State::Ready, State::Ready, State::Blocked]);
    refuse(vec![runs[4]]).await;
    Hand::register(&store, build("build-3")).await;
    assert_eq!(states().await, [State::Ready, State::Ready, State::Ready, State::Ready, State::Blocked]);
}
