//! Promises of `send_mail`, `unnoticed_mail` and of the mail in batches.

use std::sync::Arc;

use uuid::Uuid;

use super::support::*;
use crate::model::{RunId, State};
use crate::store::{Batch, Due, MailKind, NewMail, NewRun, Store};

fn event(run: RunId, body: &str) -> NewMail {
    NewMail { id: Uuid::now_v7(), run, kind: MailKind::Event, name: "approved".into(), body: Some(json(body)) }
}

/// What of a worker's mail is un-noticed, by payload.
async fn bodies(store: &Arc<dyn Store>, worker: &Hand) -> Vec<String> {
    let mail = store.unnoticed_mail(worker.id).await.unwrap();
    mail.into_iter().map(|mail| mail.mail.body.unwrap().as_str().to_owned()).collect()
}

pub async fn a_waiting_run_with_mail_is_claimed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let waits = bound();
    let waits_id = waits.id;
    worker.bear(waits).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    let delayed = start(&store, NewRun { delay: LONG, ..checkout() }).await;
    assert!(worker.claim(10).await.is_empty());

    store.send_mail(&[event(waits_id, "1"), event(waits_id, "2"), event(delayed, "3")]).await.unwrap();
    let mut claimed: Vec<_> = worker.claim(10).await.into_iter().map(|run| run.id).collect();
    claimed.sort();
    let mut expected = vec![waits_id, delayed];
    expected.sort();
    assert_eq!(claimed, expected, "each of them once");
    assert_eq!(view(&store, waits_id).await.state, State::Owned);
    assert_eq!(bodies(&store, &worker).await, ["1", "2", "3"], "a claim notices nothing by itself");
}

pub async fn mail_that_was_taken_is_not_shown_again(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let (first, second) = (event(id, "1"), event(id, "2"));
    store.send_mail(&[first.clone(), second.clone()]).await.unwrap();
    worker.commit(Batch { taken: vec![first.id], ..Batch::default() }).await;
    assert_eq!(bodies(&store, &worker).await, ["2"]);
    // Sent again after it was taken, it stays taken.
    store.send_mail(&[first]).await.unwrap();
    worker.commit(Batch { taken: vec![second.id, Uuid::now_v7()], ..Batch::default() }).await;
    assert!(bodies(&store, &worker).await.is_empty());
    worker.update(id, 0, waiting(Due::Never)).await;
    assert!(worker.claim(10).await.is_empty(), "nothing makes it due");
}

pub async fn mail_is_put_in_once_and_comes_out_in_order(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    // Ids are no order: a client may choose them.
    let mut sent: Vec<_> =
        (0..20).map(|n| NewMail { id: Uuid::from_u128(1000 - n), ..event(id, &n.to_string()) }).collect();
    for mail in &sent {
        store.send_mail(std::slice::from_ref(mail)).await.unwrap();
    }
    sent.reverse();
    store.send_mail(&sent).await.unwrap();
    store.send_mail(&[]).await.unwrap();
    assert_eq!(bodies(&store, &worker).await, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());

    let mail = store.unnoticed_mail(worker.id).await.unwrap();
    assert!(mail.is_sorted_by_key(|mail| mail.sent_at));
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
    let cancel = NewMail { kind: MailKind::Cancel, body: None, ..event(id, "") };
    store.send_mail(&[cancel]).await.unwrap();
    assert!(store.unnoticed_mail(other.id).await.unwrap().is_empty());
    let mine = store.unnoticed_mail(worker.id).await.unwrap();
    assert_eq!((mine.len(), mine[0].mail.kind), (1, MailKind::Cancel));
    assert!(mine[0].mail.body.is_none());
    worker.update(id, 0, released()).await;
    assert!(store.unnoticed_mail(worker.id).await.unwrap().is_empty());
}

pub async fn mail_sent_by_a_batch_arrives(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let parent = bound();
    let id = parent.id;
    worker.bear(parent).await;
    let child = NewMail { kind: MailKind::ChildResult, name: "child:ship#0".into(), ..event(id, "{\"ok\":1}") };
    store.send_mail(std::slice::from_ref(&child)).await.unwrap();
    worker.commit(Batch { sent: vec![child, event(id, "2")], ..Batch::default() }).await;
    assert_eq!(bodies(&store, &worker).await, ["{\"ok\":1}", "2"]);
}

pub async fn mail_for_a_run_nobody_knows_is_harmless(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let mail = event(RunId::new(), "1");
    store.send_mail(&[mail]).await.unwrap();
    assert!(worker.claim(10).await.is_empty());
    assert!(bodies(&store, &worker).await.is_empty());
}
