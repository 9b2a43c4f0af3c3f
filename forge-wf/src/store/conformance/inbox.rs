//! Promises of `load_mail`, `load_events` and `Inspect::events`: what a run has not used up.

use std::sync::Arc;

use super::support::*;
use crate::model::RunId;
use crate::store::{Inbox, MAIL_PAGE, MAIL_PAGE_BYTES, Mail, MailKind, Mailbag, NewMail, Store};

async fn inbox(store: &Arc<dyn Store>, run: RunId) -> Inbox {
    store.load_mail(&[run]).await.unwrap().remove(0)
}

async fn bag(store: &Arc<dyn Store>, run: RunId) -> Mailbag {
    inbox(store, run).await.page
}

/// A run this worker owns.
async fn owned(worker: &mut Hand) -> RunId {
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    id
}

fn kinds(mail: &[Mail]) -> Vec<MailKind> {
    mail.iter().map(|mail| mail.mail.kind).collect()
}

pub async fn taken_mail_is_loaded_no_more(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let mail = events(run, 0, 3);
    worker.send(mail.clone()).await;
    worker.mark([&mail[1]], true).await;
    assert_eq!(bodies(&bag(&store, run).await.mail), ["0", "2"]);
    // Marks are only added.
    worker.mark([&mail[1]], false).await;
    assert_eq!(bodies(&bag(&store, run).await.mail), ["0", "2"]);
    assert_eq!(bodies(&store.load_events(run, "approved").await.unwrap().mail), ["0", "2"]);
    assert_eq!(bodies(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), ["0", "2"]);
}

pub async fn noticed_mail_is_loaded_until_it_is_taken(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let mail = events(run, 0, 2);
    worker.send(mail.clone()).await;
    worker.mark([&mail[0]], false).await;
    let found = bag(&store, run).await;
    assert_eq!(found.mail.iter().map(|mail| mail.noticed).collect::<Vec<_>>(), [true, false]);
    assert_eq!((found.run, found.mail[0].mail.run, found.complete), (run, run, true));
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!(found.mail.iter().map(|mail| mail.noticed).collect::<Vec<_>>(), [true, false]);
    worker.mark([&mail[0]], true).await;
    assert_eq!(bodies(&bag(&store, run).await.mail), ["1"]);
}

pub async fn bags_come_back_in_the_order_asked_for(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (first, second) = (owned(&mut worker).await, owned(&mut worker).await);
    worker.send(vec![event(second, "1"), event(first, "2"), event(second, "3")]).await;
    let asked = [second, RunId::new(), first, second];
    let bags = store.load_mail(&asked).await.unwrap();
    assert_eq!(bags.iter().map(|bag| bag.page.run).collect::<Vec<_>>(), asked);
    let found: Vec<_> = bags.iter().map(|bag| bodies(&bag.page.mail)).collect();
    assert_eq!(found, [vec!["1", "3"], vec![], vec!["2"], vec!["1", "3"]]);
    assert!(store.load_mail(&[]).await.unwrap().is_empty());
}

pub async fn a_bag_says_whether_it_is_complete(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    worker.send(events(run, 0, MAIL_PAGE)).await;
    worker.send(vec![NewMail { name: "refused".into(), ..event(run, "\"other\"") }]).await;
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!((found.run, found.mail.len(), found.complete), (run, MAIL_PAGE, true));
    worker.mark(found.mail.iter().map(|mail| &mail.mail), false).await;
    let found = inbox(&store, run).await;
    assert_eq!((found.page.mail.len(), found.page.complete), (MAIL_PAGE, false));
    assert_eq!(bodies(&found.page.mail)[0], "0", "the oldest");
    assert_eq!(bodies(&found.beyond), ["\"other\""], "and what nobody has noticed, however far behind");
    worker.mark([&found.beyond[0].mail], false).await;
    let found = inbox(&store, run).await;
    assert_eq!((found.page.mail.len(), found.page.complete, found.beyond.len()), (MAIL_PAGE, false, 0));
    worker.send(events(run, MAIL_PAGE, 1)).await;
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!((found.mail.len(), found.complete), (MAIL_PAGE, false));
    assert_eq!(bodies(&found.mail)[MAIL_PAGE - 1], (MAIL_PAGE - 1).to_string());
}

/// A worker may have noticed them and died before it obeyed, or before it handed them to the body.
pub async fn answers_and_commands_that_are_not_taken_are_loaded_however_far_behind(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let mut sent = events(run, 0, MAIL_PAGE + 1);
    sent.push(NewMail { kind: MailKind::ChildResult, ..event(run, "\"answer\"") });
    sent.push(NewMail { kind: MailKind::Cancel, ..event(run, "\"cancel\"") });
    worker.send(sent.clone()).await;
    worker.mark(&sent, false).await;
    let found = inbox(&store, run).await;
    assert_eq!((found.page.mail.len(), found.page.complete), (MAIL_PAGE, false));
    assert_eq!(bodies(&found.beyond), ["\"answer\"", "\"cancel\""]);
    worker.mark(&sent[MAIL_PAGE + 1..], true).await;
    assert!(inbox(&store, run).await.beyond.is_empty());
}

/// An event this long, in bytes, that counts `n` in its first digits.
fn long(run: RunId, n: usize, bytes: usize) -> NewMail {
    event(run, &format!("{n}.{}", "0".repeat(bytes - 2)))
}

fn numbers(mail: &[Mail]) -> Vec<&str> {
    bodies(mail).into_iter().map(|body| &body[..1]).collect()
}

async fn post(store: &Arc<dyn Store>, mail: Vec<NewMail>) -> Vec<NewMail> {
    for mail in &mail {
        store.send_mail(mail).await.unwrap();
    }
    mail
}

pub async fn a_page_of_mail_is_bounded_by_its_bytes(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let sent = post(&store, (0..6).map(|n| long(run, n, MAIL_PAGE_BYTES / 4)).collect()).await;
    post(&store, vec![NewMail { kind: MailKind::DropEvent, ..event(run, "9.") }]).await;
    let oldest = ["0", "1", "2", "3"];
    let found = inbox(&store, run).await;
    assert_eq!((numbers(&found.page.mail), found.page.complete, found.beyond.len()), (oldest.into(), false, 0));
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!((numbers(&found.mail), found.complete), (vec!["0", "1", "2", "3", "9"], false));
    assert_eq!(numbers(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), oldest);

    // What was noticed makes room for what was not.
    worker.mark(&sent[..4], false).await;
    let found = inbox(&store, run).await;
    assert_eq!((numbers(&found.page.mail), found.page.complete), (oldest.into(), false));
    assert_eq!(numbers(&found.beyond), ["4", "5", "9"]);
    assert_eq!(numbers(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), ["4", "5", "9"]);
    worker.mark(&sent[..3], true).await;
    let found = inbox(&store, run).await;
    assert_eq!((numbers(&found.page.mail), found.page.complete), (vec!["3", "4", "5", "9"], true));
    assert!(store.load_events(run, "approved").await.unwrap().complete);
}

pub async fn mail_longer_than_a_page_is_a_page(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let sent = post(&store, vec![long(run, 1, MAIL_PAGE_BYTES + 1), event(run, "2")]).await;
    for (page, complete) in [(["1"], false), (["2"], true)] {
        let found = bag(&store, run).await;
        assert_eq!((numbers(&found.mail), found.complete), (page.into(), complete));
        let found = store.load_events(run, "approved").await.unwrap();
        assert_eq!((numbers(&found.mail), found.complete), (page.into(), complete));
        assert_eq!(numbers(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), page);
        worker.mark(&sent[..1], true).await;
    }
}

pub async fn four_pages_of_mail_are_bounded_by_their_bytes(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for n in 0..5 {
        let run = owned(&mut worker).await;
        post(&store, (0..2).map(|_| long(run, n, MAIL_PAGE_BYTES / 2)).collect()).await;
    }
    for shown in [vec!["0", "0", "1", "1", "2", "2", "3", "3"], vec!["4", "4"], vec![]] {
        let mail = store.unnoticed_mail(worker.id, &[]).await.unwrap();
        assert_eq!(numbers(&mail), shown);
        worker.mark(mail.iter().map(|mail| &mail.mail), false).await;
    }
}

pub async fn events_of_one_name_are_loaded_in_order_with_what_is_about_them(store: Arc<dyn Store>) {
    use MailKind::*;
    let mut worker = Hand::new(&store).await;
    let (run, other) = (owned(&mut worker).await, owned(&mut worker).await);
    let about = |kind, body| NewMail { kind, ..event(run, body) };
    worker
        .send(vec![
            event(run, "1"),
            NewMail { name: "refused".into(), ..event(run, "2") },
            about(DropEvent, "3"),
            event(other, "4"),
            about(Cancel, "5"),
            event(run, "6"),
            about(ReplaceEvent, "7"),
        ])
        .await;
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!((bodies(&found.mail), found.complete), (vec!["1", "3", "6", "7"], true));
    assert_eq!(kinds(&found.mail), [Event, DropEvent, Event, ReplaceEvent]);
    assert!(store.load_events(run, "Approved").await.unwrap().mail.is_empty(), "names are exact");
    assert_eq!(bodies(&bag(&store, run).await.mail), ["1", "2", "3", "5", "6", "7"]);
}

pub async fn what_drops_an_event_is_loaded_behind_any_flood(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    worker.send(events(run, 0, MAIL_PAGE + 10)).await;
    worker.send(vec![NewMail { kind: MailKind::DropEvent, ..event(run, "\"3\"") }]).await;
    let found = store.load_events(run, "approved").await.unwrap();
    assert_eq!((found.mail.len(), found.complete), (MAIL_PAGE + 1, false));
    assert_eq!(kinds(&found.mail[MAIL_PAGE - 1..]), [MailKind::Event, MailKind::DropEvent]);
}

pub async fn events_are_listed_until_taken(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = owned(&mut worker).await;
    let mail = vec![
        event(run, "1"),
        NewMail { kind: MailKind::Cancel, ..event(run, "2") },
        NewMail { name: "refused".into(), ..event(run, "3") },
        NewMail { kind: MailKind::DropEvent, ..event(run, "4") },
    ];
    worker.send(mail.clone()).await;
    worker.mark([&mail[0]], false).await;
    assert_eq!(bodies(&store.events(run).await.unwrap()), ["1", "3", "4"]);
    worker.mark([&mail[0]], true).await;
    assert_eq!(bodies(&store.events(run).await.unwrap()), ["3", "4"]);
    assert!(store.events(RunId::new()).await.unwrap().is_empty());
    worker.send(events(run, 0, 1_010)).await;
    assert_eq!(store.events(run).await.unwrap().len(), 1_000);
}
