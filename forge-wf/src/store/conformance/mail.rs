//! Promises of `send_mail`, `unnoticed_mail` and of the mail in batches.

use std::sync::Arc;

use uuid::Uuid;

use super::support::*;
use crate::model::{BlockReason, RunId, State};
use crate::store::{Due, MAIL_PAGE, Mail, MailKind, NewMail, NewRun, Posted, Store};

async fn post(store: &Arc<dyn Store>, mail: &NewMail) {
    assert_eq!(store.send_mail(mail).await.unwrap(), Posted::Sent);
}

async fn unnoticed(store: &Arc<dyn Store>, worker: &Hand) -> Vec<Mail> {
    store.unnoticed_mail(worker.id, &[]).await.unwrap()
}

pub async fn a_waiting_run_with_mail_is_claimed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let waits = bound();
    let waits_id = waits.id;
    worker.bear(waits).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    let sleeps = bound();
    let sleeps_id = sleeps.id;
    worker.bear(sleeps).await;
    worker.update(sleeps_id, 0, waiting(Due::At(now() + LONG))).await;
    let delayed = start(&store, NewRun { delay: LONG, ..checkout() }).await;
    assert!(worker.claim(10).await.is_empty());

    for mail in [event(waits_id, "1"), event(waits_id, "2"), event(delayed, "3"), event(sleeps_id, "4")] {
        post(&store, &mail).await;
    }
    let mut claimed: Vec<_> = worker.claim(10).await.into_iter().map(|run| run.id).collect();
    claimed.sort();
    let mut expected = vec![waits_id, sleeps_id];
    expected.sort();
    assert_eq!(claimed, expected, "each of them once, and nothing but time begins the delayed one");
    assert_eq!(view(&store, waits_id).await.state, State::Owned);
    let mail = unnoticed(&store, &worker).await;
    assert_eq!(bodies(&mail), ["1", "2", "4"], "a claim notices nothing by itself");
}

pub async fn mail_that_was_noticed_is_not_shown_again(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let (first, second) = (event(id, "1"), event(id, "2"));
    post(&store, &first).await;
    post(&store, &second).await;
    worker.mark([&first], false).await;
    assert_eq!(bodies(&unnoticed(&store, &worker).await), ["2"]);
    // Sent again after it was noticed, it stays noticed.
    post(&store, &first).await;
    worker.mark([&second, &event(id, "never sent")], true).await;
    assert!(unnoticed(&store, &worker).await.is_empty());
    worker.update(id, 0, waiting(Due::Never)).await;
    assert!(worker.claim(10).await.is_empty(), "nothing makes it due");
}

pub async fn mail_is_sent_once_by_its_id(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    // Ids are no order: a client may choose them.
    let mut sent: Vec<_> =
        (0..20).map(|n| NewMail { id: Uuid::from_u128(1000 - n), ..event(id, &n.to_string()) }).collect();
    for mail in &sent {
        post(&store, mail).await;
    }
    sent.reverse();
    for mail in &sent {
        post(&store, &NewMail { body: None, ..mail.clone() }).await;
    }
    worker.send(sent).await;
    let mail = unnoticed(&store, &worker).await;
    assert_eq!(bodies(&mail), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(mail.is_sorted_by_key(|mail| mail.sent_at) && mail.is_sorted_by_key(|mail| mail.no));
    assert!(mail.iter().all(|mail| !mail.noticed));
    let first = &mail[0].mail;
    assert_eq!(
        (first.run, first.kind, &*first.name, first.id),
        (id, MailKind::Event, "approved", Uuid::from_u128(1000))
    );
}

pub async fn mail_is_shown_to_the_owner_only(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let other = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    post(&store, &NewMail { kind: MailKind::Cancel, body: None, ..event(id, "") }).await;
    assert!(unnoticed(&store, &other).await.is_empty());
    let mine = unnoticed(&store, &worker).await;
    assert_eq!((mine.len(), mine[0].mail.kind), (1, MailKind::Cancel));
    assert!(mine[0].mail.body.is_none());
    worker.update(id, 0, released()).await;
    assert!(unnoticed(&store, &worker).await.is_empty());
}

pub async fn mail_sent_by_a_batch_arrives(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let parent = bound();
    let id = parent.id;
    worker.bear(parent).await;
    let child = NewMail { kind: MailKind::ChildResult, name: "child:ship#0".into(), ..event(id, "{\"ok\":1}") };
    post(&store, &child).await;
    worker.send(vec![child, event(id, "2")]).await;
    assert_eq!(bodies(&unnoticed(&store, &worker).await), ["{\"ok\":1}", "2"]);
}

pub async fn mail_for_a_run_nobody_knows_says_so(store: Arc<dyn Store>) {
    let run = RunId::new();
    assert_eq!(store.send_mail(&event(run, "1")).await.unwrap(), Posted::Unknown);
    let bags = store.load_mail(&[run]).await.unwrap();
    assert!(bags[0].page.mail.is_empty() && bags[0].page.complete, "nothing was written");
}

pub async fn mail_for_a_run_nobody_knows_is_harmless(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    worker.send(vec![event(RunId::new(), "1")]).await;
    assert!(worker.claim(10).await.is_empty());
    assert!(unnoticed(&store, &worker).await.is_empty());
}

pub async fn mail_for_an_ended_run_says_so(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let before = event(id, "1");
    post(&store, &before).await;
    worker.update(id, 0, ended(State::Cancelled)).await;
    for mail in [event(id, "2"), before] {
        assert_eq!(store.send_mail(&mail).await.unwrap(), Posted::Ended(State::Cancelled));
    }
    assert_eq!(bodies(&store.load_mail(&[id]).await.unwrap()[0].page.mail), ["1"], "only what was there before");
}

pub async fn a_flood_to_one_run_does_not_hide_the_mail_of_others(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (flooded, other) = (bound(), bound());
    let (flooded_id, other_id) = (flooded.id, other.id);
    worker.bear(flooded).await;
    worker.bear(other).await;
    worker.send(events(flooded_id, 0, MAIL_PAGE + 30)).await;
    post(&store, &event(other_id, "\"me\"")).await;

    let mail = unnoticed(&store, &worker).await;
    assert_eq!(mail.len(), MAIL_PAGE + 1);
    assert_eq!(bodies(&mail[MAIL_PAGE..]), ["\"me\""]);
    assert_eq!(bodies(&mail[..2]), ["0", "1"]);
    // What was seen makes room for the rest.
    worker.mark(mail.iter().map(|mail| &mail.mail), false).await;
    let rest = unnoticed(&store, &worker).await;
    assert_eq!((rest.len(), bodies(&rest)[0]), (30, MAIL_PAGE.to_string().as_str()));

    // And neither is claimed before the other because of it.
    worker.update(flooded_id, 0, waiting(Due::Never)).await;
    worker.update(other_id, 0, waiting(Due::Never)).await;
    post(&store, &event(other_id, "2")).await;
    assert_eq!(worker.claim(2).await.len(), 2);
}

pub async fn no_more_than_four_pages_of_mail_are_shown_at_once(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for _ in 0..5 {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        worker.send(events(id, 0, MAIL_PAGE + 1)).await;
    }
    let mut shown = Vec::new();
    for expected in [4 * MAIL_PAGE, MAIL_PAGE + 4, 1, 0] {
        let mail = unnoticed(&store, &worker).await;
        assert_eq!(mail.len(), expected);
        assert!(mail.is_sorted_by_key(|mail| mail.no));
        for piece in mail.chunks(300) {
            worker.mark(piece.iter().map(|mail| &mail.mail), true).await;
        }
        shown.extend(mail.into_iter().map(|mail| mail.mail.id));
    }
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), 5 * (MAIL_PAGE + 1));
}

pub async fn mail_of_excepted_runs_takes_no_room(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        let run = bound();
        runs.push(run.id);
        worker.bear(run).await;
    }
    for flooded in &runs[..5] {
        worker.send(events(*flooded, 0, MAIL_PAGE)).await;
    }
    post(&store, &event(runs[5], "\"me\"")).await;
    let shown = async |except: &[RunId]| store.unnoticed_mail(worker.id, except).await.unwrap();
    assert!(!bodies(&shown(&[]).await).contains(&"\"me\""), "four pages stand before it");
    let mail = shown(&runs[..4]).await;
    assert_eq!((mail.len(), bodies(&mail)[MAIL_PAGE]), (MAIL_PAGE + 1, "\"me\""));
    assert_eq!(bodies(&shown(&runs[..5]).await), ["\"me\""]);
    assert!(shown(&runs).await.is_empty());
    let many: Vec<_> = (0..20_000).map(|_| RunId::new()).chain(runs[..5].iter().copied()).collect();
    assert_eq!(bodies(&shown(&many).await), ["\"me\""], "also among very many");
}

pub async fn mail_of_one_run_is_shown_by_the_page(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (flooded, other) = (bound(), bound());
    let (flooded_id, other_id) = (flooded.id, other.id);
    worker.bear(flooded).await;
    worker.bear(other).await;
    worker.send(events(flooded_id, 0, MAIL_PAGE + 2)).await;
    worker.send(vec![event(other_id, "\"me\"")]).await;
    assert_eq!(bodies(&store.unnoticed_mail_of(other_id).await.unwrap()), ["\"me\""]);
    let page = store.unnoticed_mail_of(flooded_id).await.unwrap();
    assert_eq!((page.len(), bodies(&page)[0]), (MAIL_PAGE, "0"));
    worker.mark(page.iter().map(|mail| &mail.mail), false).await;
    let rest = store.unnoticed_mail_of(flooded_id).await.unwrap();
    assert_eq!(bodies(&rest), [MAIL_PAGE.to_string(), (MAIL_PAGE + 1).to_string()]);
    // Whoever owns it.
    worker.update(flooded_id, 0, waiting(Due::Never)).await;
    assert_eq!(store.unnoticed_mail_of(flooded_id).await.unwrap().len(), 2);
    assert!(store.unnoticed_mail_of(RunId::new()).await.unwrap().is_empty());
}

pub async fn runs_with_mail_are_told_from_those_without(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        let run = bound();
        runs.push(run.id);
        worker.bear(run).await;
    }
    worker.send(events(runs[0], 0, 300)).await;
    let noticed = event(runs[1], "1");
    worker.send(vec![noticed.clone(), event(runs[3], "2")]).await;
    worker.mark([&noticed], false).await;
    runs.push(RunId::new());
    let mut found = store.runs_with_mail(&runs).await.unwrap();
    found.sort();
    let mut with_mail = vec![runs[0], runs[3]];
    with_mail.sort();
    assert_eq!(found, with_mail, "each once");
    assert_eq!(store.runs_with_mail(&runs[1..3]).await.unwrap(), []);
    assert_eq!(store.runs_with_mail(&[]).await.unwrap(), []);
    let many: Vec<_> = (0..5_000).map(|_| RunId::new()).chain([runs[3]]).collect();
    assert_eq!(store.runs_with_mail(&many).await.unwrap(), [runs[3]]);
}

pub async fn mail_of_an_ended_run_is_noticed_by_the_sweep(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (ends, lives, unknown) = (bound(), bound(), RunId::new());
    let (ends_id, lives_id) = (ends.id, lives.id);
    worker.bear(ends).await;
    worker.bear(lives).await;
    worker.update(ends_id, 0, ended(State::Completed)).await;
    let late = [event(ends_id, "1"), event(ends_id, "2"), event(unknown, "3"), event(lives_id, "4")];
    worker.send(late.to_vec()).await;
    store.take_over(worker.id).await.unwrap();
    let bags = store.load_mail(&[ends_id, unknown, lives_id]).await.unwrap();
    let noticed: Vec<Vec<_>> = bags.iter().map(|bag| bag.page.mail.iter().map(|mail| mail.noticed).collect()).collect();
    assert_eq!(noticed, [vec![true, true], vec![true], vec![false]]);
}

/// Each claim would step over them, and whatever begins their runs later loads them all the same.
pub async fn events_that_make_nothing_due_are_noticed_by_the_sweep(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let delayed = start(&store, NewRun { delay: LONG, ..checkout() }).await;
    let images = [paused(), blocked(BlockReason::Panic, "build-1"), waiting(Due::Never), executing()];
    let mut runs = vec![delayed];
    for image in images {
        let run = bound();
        runs.push(run.id);
        worker.bear(run).await;
        worker.update(*runs.last().expect("pushed"), 0, image).await;
    }
    for run in &runs {
        let changed = NewMail { kind: MailKind::DropEvent, ..event(*run, "1") };
        let answer = NewMail { kind: MailKind::ChildResult, ..event(*run, "2") };
        worker.send(vec![event(*run, "0"), changed, answer]).await;
    }
    store.take_over(worker.id).await.unwrap();
    let bags = store.load_mail(&runs).await.unwrap();
    let noticed: Vec<Vec<_>> = bags.iter().map(|bag| bag.page.mail.iter().map(|mail| mail.noticed).collect()).collect();
    let (nothing, due) = (vec![true, true, false], vec![false; 3]);
    assert_eq!(noticed, [nothing.clone(), nothing.clone(), nothing, due.clone(), due]);
}
