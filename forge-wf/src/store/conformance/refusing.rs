//! What a store promises about runs whose rows the database refuses to change. That takes a hand on the tables, so each backend keeps
//! these promises in a test of its own.

use std::sync::Arc;

use super::support::*;
use crate::model::{BlockReason, RunId, State};
use crate::store::{Batch, Birth, Claim, ClaimRequest, MailKind, NewRun, NewWorker, Store};

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

/// `refuse` as above.
pub async fn many_runs_that_cannot_be_written_keep_no_other_of_their_dead_worker(
    store: Arc<dyn Store>,
    mut refuse: impl AsyncFnMut(Vec<RunId>),
) {
    // More than are tried one by one at a time.
    const BAD: usize = 230;
    let (heir, mut dead) = (Hand::new(&store).await, Hand::expired(&store).await);
    let births: Vec<_> = (0..BAD + 20).map(|_| Birth { run: bound(), image: executing() }).collect();
    let runs: Vec<_> = births.iter().map(|birth| birth.run.id).collect();
    dead.commit(Batch { births, ..Batch::default() }).await;
    let (bad, good) = runs.split_at(BAD);
    refuse(bad.to_vec()).await;
    let (mut freed, mut more) = (0, true);
    while more {
        let taken = store.take_over(heir.id).await.unwrap();
        (freed, more) = (freed + taken.runs, taken.more);
    }
    assert_eq!(freed, good.len() as u64);
    for run in good {
        assert!(view(&store, *run).await.worker.is_none());
    }
    assert!(view(&store, bad[0]).await.worker.is_some());
    let taken = store.take_over(heir.id).await.unwrap();
    assert_eq!((taken.runs, taken.more), (0, false), "what was refused is left alone for a while");
}

/// `refuse_mail` has the database refuse all mail to this run, and to no other.
pub async fn a_run_whose_mail_is_refused_keeps_no_other_from_its_deadline(
    store: Arc<dyn Store>,
    mut refuse_mail: impl AsyncFnMut(RunId),
) {
    let mut worker = Hand::new(&store).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        let run = NewRun { deadline_at: Some(now()), ..bound() };
        runs.push(run.id);
        worker.bear(run).await;
        worker.update(runs[runs.len() - 1], 0, paused()).await;
    }
    refuse_mail(runs[1]).await;
    let mut reminded = 0;
    until("all that can be are late by the database's clock, too", async || {
        reminded += store.remind_overdue().await.unwrap();
        reminded == 4
    })
    .await;
    for (n, run) in runs.iter().enumerate() {
        let mail = store.load_mail(&[*run]).await.unwrap().remove(0).page.mail;
        let kinds: Vec<_> = mail.iter().map(|mail| mail.mail.kind).collect();
        assert_eq!(kinds, if n == 1 { vec![] } else { vec![MailKind::Deadline] });
    }
    assert_eq!(store.remind_overdue().await.unwrap(), 0, "what was refused is left alone for a while");
}
