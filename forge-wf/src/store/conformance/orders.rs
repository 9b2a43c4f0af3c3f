//! Promises about orders: mail that makes a run due whatever state it is in, with the line that says who gave it.

use std::sync::Arc;

use super::support::*;
use crate::model::{BlockReason, Digest, Phase, RunId, State};
use crate::store::{Audit, Due, MAIL_PAGE, MailKind, NewMail, NewRun, Posted, RetryRun, RunImage, Store};

/// Digest of a name nobody starts.
const OTHER: Digest = Digest(0xA9);

fn order(run: RunId, kind: MailKind) -> NewMail {
    NewMail { kind, name: "order".into(), ..event(run, "{}") }
}

fn audit(action: &str) -> Audit {
    Audit { who: "ada".into(), action: action.into(), details: "because".into() }
}

/// A run of this worker that was given back as `image`.
async fn left(worker: &mut Hand, image: RunImage) -> RunId {
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    worker.update(id, 0, image).await;
    id
}

pub async fn an_order_makes_a_paused_or_blocked_run_due(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for image in [paused(), blocked(BlockReason::Panic, "a build")] {
        let run = left(&mut worker, image).await;
        store.send_mail(&event(run, "1")).await.unwrap();
        assert!(worker.claim(9).await.is_empty(), "an event wakes nobody");
        store.send_mail(&order(run, MailKind::Resume)).await.unwrap();
        assert_eq!(worker.claim_one().await.id, run);
    }
}

pub async fn what_ends_a_run_is_claimed_by_whoever_offers_nothing_it_needs(store: Arc<dyn Store>) {
    let mut owner = Hand::new(&store).await;
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    for kind in [MailKind::Cancel, MailKind::Kill, MailKind::Retire, MailKind::Deadline] {
        let run = left(&mut owner, released()).await;
        store.send_mail(&order(run, MailKind::Retry)).await.unwrap();
        assert!(stranger.claim(9).await.is_empty(), "to try it again takes its code");
        store.send_mail(&order(run, kind)).await.unwrap();
        let claimed = stranger.claim_one().await;
        assert_eq!((claimed.id, claimed.definition, claimed.needs), (run, Some(ONE), ONE), "{kind:?}");
        stranger.update(run, claimed.claim_no, ended(State::Cancelled)).await;
    }
}

pub async fn an_order_for_a_run_that_never_began_binds_it_to_nothing(store: Arc<dyn Store>) {
    let run = start(&store, checkout()).await;
    store.send_mail(&order(run, MailKind::Cancel)).await.unwrap();
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    let claimed = stranger.claim_one().await;
    assert_eq!((claimed.id, claimed.definition, claimed.needs), (run, None, checkout().needs));
}

pub async fn an_order_that_was_noticed_makes_nothing_due(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = left(&mut worker, paused()).await;
    let mail = order(run, MailKind::Resume);
    store.send_mail(&mail).await.unwrap();
    let claimed = worker.claim_one().await;
    worker.mark([&mail], true).await;
    worker.update(run, claimed.claim_no, paused()).await;
    assert!(worker.claim(9).await.is_empty());
}

pub async fn a_paused_run_is_known_as_paused_by_whoever_brings_it_an_order(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let image = RunImage { block_reason: Some(BlockReason::Paused), ..paused() };
    let run = left(&mut worker, image).await;
    store.send_mail(&order(run, MailKind::Retry)).await.unwrap();
    assert!(worker.claim_one().await.paused);
}

pub async fn an_order_is_told_once_with_who_and_why(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = left(&mut worker, paused()).await;
    let mail = order(run, MailKind::Resume);
    for _ in 0..2 {
        assert_eq!(store.send_order(&mail, &audit("resume")).await.unwrap(), Posted::Sent);
    }
    assert_eq!(store.send_order(&order(run, MailKind::Cancel), &audit("cancel")).await.unwrap(), Posted::Sent);
    let told: Vec<_> = store.audit(run).await.unwrap().into_iter().map(|(_, line)| line).collect();
    assert_eq!(told, [audit("resume"), audit("cancel")], "oldest first");
    assert_eq!(store.unnoticed_mail(worker.id, &[]).await.unwrap().len(), 0, "the run is nobody's");
    assert_eq!(worker.claim_one().await.id, run);
    assert_eq!(store.unnoticed_mail(worker.id, &[]).await.unwrap().len(), 2);
}

pub async fn an_order_nobody_can_obey_is_not_told(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = left(&mut worker, ended(State::Completed)).await;
    let answer = store.send_order(&order(run, MailKind::Cancel), &audit("cancel")).await.unwrap();
    assert_eq!(answer, Posted::Ended(State::Completed));
    assert!(store.audit(run).await.unwrap().is_empty());
    let nobody = RunId::new();
    let answer = store.send_order(&order(nobody, MailKind::Cancel), &audit("cancel")).await.unwrap();
    assert_eq!(answer, Posted::Unknown);
    assert!(store.audit(nobody).await.unwrap().is_empty());
}

pub async fn who_is_late_and_would_not_be_claimed_is_reminded_once(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let late = || NewRun { deadline_at: Some(now()), ..bound() };
    let mut due = Vec::new();
    for image in [paused(), blocked(BlockReason::Panic, "a build")] {
        for run in [late(), bound()] {
            let (id, has_deadline) = (run.id, run.deadline_at.is_some());
            worker.bear(run).await;
            worker.update(id, 0, image.clone()).await;
            due.extend(has_deadline.then_some(id));
        }
    }
    // These are nobody's business but their worker's: executed, about to be, about to undo, ended.
    for image in [executing(), released(), RunImage { phase: Phase::Undo, ..paused() }, ended(State::Failed)] {
        let run = late();
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, image).await;
    }
    let other = || NewRun { definition: Some(OTHER), needs: OTHER, ..bound() };
    let unserved = start(&store, NewRun { deadline_at: Some(now()), ..other() }).await;
    due.push(unserved);
    start(&store, NewRun { deadline_at: Some(now() + LONG), ..other() }).await;
    assert_eq!(store.remind_overdue().await.unwrap(), 3);
    assert_eq!(store.remind_overdue().await.unwrap(), 0, "they have been reminded");
    for run in &due {
        let mail = store.load_mail(&[*run]).await.unwrap().remove(0).page.mail;
        assert_eq!(mail.iter().map(|mail| mail.mail.kind).collect::<Vec<_>>(), [MailKind::Deadline]);
    }
    let mut claimed: Vec<_> = worker.claim(9).await.into_iter().map(|run| run.id).collect();
    claimed.retain(|run| due.contains(run));
    claimed.sort();
    due.sort();
    assert_eq!(claimed, due, "whoever hears of it can do it");
}

pub async fn a_delayed_run_is_late_before_it_is_due(store: Arc<dyn Store>) {
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    let _served = Hand::new(&store).await;
    let late = start(&store, NewRun { delay: LONG, deadline_at: Some(now()), ..bound() }).await;
    start(&store, NewRun { delay: LONG, ..bound() }).await;
    start(&store, NewRun { delay: LONG, deadline_at: Some(now() + LONG), ..bound() }).await;
    let mut reminded = 0;
    until("it is late by the database's clock, too", async || {
        reminded = store.remind_overdue().await.unwrap();
        reminded > 0
    })
    .await;
    assert_eq!((reminded, store.remind_overdue().await.unwrap()), (1, 0));
    assert_eq!(stranger.claim_one().await.id, late, "whoever claims it obeys that");
}

/// Lets a run that has ended begin anew.
async fn retry(store: &Arc<dyn Store>, run: RunId, generation: i32) {
    let retry = RetryRun { run, generation, keep: false, seed: 1 };
    assert_eq!(store.retry_run(&retry, &audit("retry")).await.unwrap(), Posted::Sent);
}

pub async fn a_command_is_void_once_its_run_was_retried(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    let run = left(&mut worker, released()).await;
    let commands = [MailKind::Cancel, MailKind::Kill, MailKind::Pause, MailKind::Deadline];
    for kind in commands {
        store.send_mail(&order(run, kind)).await.unwrap();
    }
    store.send_order(&order(run, MailKind::Retire), &audit("retire")).await.unwrap();
    store.send_mail(&event(run, "1")).await.unwrap();
    let claimed = worker.claim_one().await;
    assert_eq!(claimed.retries, 0);
    let mail = store.load_mail(&[run]).await.unwrap().remove(0).page.mail;
    assert!(mail.iter().all(|mail| !mail.is_void(&claimed)), "{mail:?}");
    worker.update(run, claimed.claim_no, ended(State::Failed)).await;
    retry(&store, run, 0).await;
    assert!(stranger.claim(9).await.is_empty(), "what is void makes nothing due");
    let claimed = worker.claim_one().await;
    assert_eq!((claimed.id, claimed.generation, claimed.retries), (run, 1, 1));
    let mail = store.load_mail(&[run]).await.unwrap().remove(0).page.mail;
    let void: Vec<_> = mail.iter().map(|mail| (mail.mail.kind, mail.is_void(&claimed))).collect();
    let given = commands.into_iter().chain([MailKind::Retire]).map(|kind| (kind, true));
    assert_eq!(void, given.chain([(MailKind::Event, false)]).collect::<Vec<_>>(), "an event stays");
    let mail = store.unnoticed_mail(worker.id, &[]).await.unwrap();
    assert_eq!(mail.iter().filter(|mail| mail.is_void(&claimed)).count(), 5);
    // What is given from now on counts, also what a batch sends to a run as it was begun: that is void.
    worker.mark(mail.iter().map(|mail| &mail.mail), true).await;
    worker.update(run, claimed.claim_no, RunImage { generation: 1, ..waiting(Due::Never) }).await;
    worker.send(vec![order(run, MailKind::Cancel)]).await;
    assert!(stranger.claim(9).await.is_empty());
    store.send_order(&order(run, MailKind::Cancel), &audit("cancel")).await.unwrap();
    let claimed = stranger.claim_one().await;
    let mail = store.load_mail(&[run]).await.unwrap().remove(0).page.mail;
    assert_eq!(mail.iter().map(|mail| mail.is_void(&claimed)).collect::<Vec<_>>(), [true, false]);
}

pub async fn a_command_counts_for_a_run_that_has_continued_as_new(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mut stranger = Hand::register(&store, worker_serving(LONG, "other", "1", OTHER, TWO)).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    store.send_order(&order(id, MailKind::Cancel), &audit("cancel")).await.unwrap();
    worker.send(vec![order(id, MailKind::Kill)]).await;
    worker.update(id, 0, RunImage { generation: 1, ..released() }).await;
    let claimed = stranger.claim_one().await;
    assert_eq!((claimed.generation, claimed.retries), (1, 0));
    let mail = store.load_mail(&[id]).await.unwrap().remove(0).page.mail;
    assert_eq!(mail.iter().map(|mail| mail.is_void(&claimed)).collect::<Vec<_>>(), [false, false]);
}

pub async fn a_command_that_ends_a_run_is_loaded_whatever_stands_before_it(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = left(&mut worker, released()).await;
    worker.send(events(run, 0, MAIL_PAGE + 20)).await;
    worker.send((0..MAIL_PAGE + 20).map(|_| order(run, MailKind::Pause)).collect()).await;
    let cancel = order(run, MailKind::Cancel);
    store.send_mail(&cancel).await.unwrap();
    let inbox = store.load_mail(&[run]).await.unwrap().remove(0);
    let loaded = inbox.page.mail.iter().chain(&inbox.beyond).filter(|mail| mail.mail.id == cancel.id).count();
    assert_eq!(loaded, 1);
    assert!(inbox.page.mail.len() <= MAIL_PAGE && inbox.beyond.len() <= 2 * MAIL_PAGE);
}
