//! What a store promises about rows that a later build wrote. No call of this build writes such a row, so these promises need a
//! hand on the rows, and each backend keeps them in a test of its own.

use std::sync::Arc;

use uuid::Uuid;

use super::support::*;
use crate::model::RunId;
use crate::store::{Due, MailKind, Store};

/// `set_kind` gives mail this number for its kind.
pub async fn mail_of_a_later_build_waits_for_one_that_can_read_it(
    store: Arc<dyn Store>,
    mut set_kind: impl AsyncFnMut(Uuid, i16),
) {
    let mut worker = Hand::new(&store).await;
    let (puzzled, other) = (bound(), bound());
    let (puzzled_id, other_id) = (puzzled.id, other.id);
    for run in [puzzled, other] {
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, waiting(Due::Never)).await;
    }
    let later = event(puzzled_id, "\"later\"");
    worker.send(vec![later.clone()]).await;
    set_kind(later.id, MailKind::LAST as i16 + 1).await;
    assert!(worker.claim(10).await.is_empty(), "it makes no run due");
    worker.send(vec![event(other_id, "1"), event(puzzled_id, "2")]).await;
    assert_eq!(worker.claim(10).await.len(), 2, "what can be read does");

    let unnoticed = store.unnoticed_mail(worker.id, &[]).await.unwrap();
    assert_eq!(bodies(&unnoticed), ["1", "2"]);
    assert_eq!(loaded(&store, puzzled_id).await, ["2"]);
    assert_eq!(loaded(&store, other_id).await, ["1"], "its neighbours do not suffer");
    worker.mark(unnoticed.iter().map(|mail| &mail.mail), false).await;
    let claim_no = worker.claim_no;
    worker.update(puzzled_id, claim_no, waiting(Due::Never)).await;
    assert!(worker.claim(10).await.is_empty());
    assert!(store.unnoticed_mail_of(puzzled_id).await.unwrap().is_empty());
    assert!(store.runs_with_mail(&[puzzled_id, other_id]).await.unwrap().is_empty());

    // A build that knows the kind finds everything as it was.
    set_kind(later.id, MailKind::LAST as i16).await;
    assert_eq!(worker.claim_one().await.id, puzzled_id);
    assert_eq!(bodies(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), ["\"later\""]);
    assert_eq!(loaded(&store, puzzled_id).await, ["\"later\"", "2"]);
}

async fn loaded(store: &Arc<dyn Store>, run: RunId) -> Vec<String> {
    let bags = store.load_mail(&[run]).await.unwrap();
    bodies(&bags[0].page.mail).into_iter().map(str::to_owned).collect()
}
