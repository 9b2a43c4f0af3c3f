//! What a store promises about runs whose rows the database refuses to change. That takes a hand on the tables, so each backend keeps
//! these promises in a test of its own.

use std::sync::Arc;

use super::support::*;
use crate::model::RunId;
use crate::store::{Claim, ClaimRequest, Store};

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
