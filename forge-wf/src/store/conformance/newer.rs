//! What a store promises about rows that a later build wrote. No call of this build writes such a row, so these promises need a
//! hand on the rows, and each backend keeps them in a test of its own.

use std::sync::Arc;

use uuid::Uuid;

use super::support::*;
use crate::model::RunId;
use crate::store::{Due, ListRuns, MailKind, NewMail, Store, StoreError};

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

/// `set_phase` gives a run this number for its phase.
pub async fn a_run_of_a_later_build_is_left_as_it_is_and_keeps_no_other_waiting(
    store: Arc<dyn Store>,
    mut set_phase: impl AsyncFnMut(RunId, i16),
) {
    let mut worker = Hand::new(&store).await;
    // Due by its time, due by mail, and paused with a command: every way to be claimed.
    let (due, waits, paused_run) = (start(&store, bound()).await, bound(), bound());
    let (waits_id, paused_id) = (waits.id, paused_run.id);
    worker.bear(waits).await;
    worker.bear(paused_run).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    worker.update(paused_id, 0, paused()).await;
    worker.send(vec![event(waits_id, "1")]).await;
    let kill = NewMail { kind: MailKind::Kill, ..event(paused_id, "{}") };
    worker.send(vec![kill]).await;
    for run in [due, waits_id, paused_id] {
        set_phase(run, 7).await;
    }
    let other = start(&store, bound()).await;
    assert_eq!(worker.claim_one().await.id, other, "it comes behind them in the queue");
    let claim = worker.claim_all_about_it(10).await;
    assert!(claim.runs.is_empty() && claim.unreadable.is_empty() && !claim.contended, "{claim:?}");
    assert!(matches!(store.run(due, LONG).await, Err(StoreError::Unknown { .. })), "a person is told");
    let unknown = store.unknown_runs().await.unwrap();
    let mut expected = [due, waits_id, paused_id];
    expected.sort();
    assert_eq!(unknown.iter().map(|it| it.run).collect::<Vec<_>>(), expected);
    assert!(unknown.iter().all(|it| it.workflow == "checkout" && it.what.ends_with("phase 7")), "{unknown:?}");
    let listed = store.list_runs(&ListRuns { limit: 10, look_at: 10, ..ListRuns::default() }, LONG).await.unwrap();
    assert_eq!(listed.runs[0].id, other, "the others that fit are there");
    expected.reverse();
    assert_eq!(listed.unknown.iter().map(|it| it.run).collect::<Vec<_>>(), expected);

    // A build that knows the phase finds everything as it was.
    for run in [due, waits_id, paused_id] {
        set_phase(run, 0).await;
    }
    assert_eq!(store.unknown_runs().await.unwrap(), []);
    let mut claimed: Vec<_> = worker.claim(10).await.into_iter().map(|run| run.id).collect();
    let mut expected = vec![due, waits_id, paused_id];
    claimed.sort();
    expected.sort();
    assert_eq!(claimed, expected);
}

/// `set_kind` gives the entry `step:charge#0` of a run this number for its kind.
pub async fn an_entry_of_a_later_build_is_told_from_one_that_makes_no_sense(
    store: Arc<dyn Store>,
    mut set_kind: impl AsyncFnMut(RunId, i16),
) {
    let mut worker = Hand::new(&store).await;
    let (puzzling, other) = (bound(), bound());
    let (puzzling_id, other_id) = (puzzling.id, other.id);
    for run in [puzzling, other] {
        let id = run.id;
        worker.bear(run).await;
        worker.append(id, vec![completed("step:charge", 0, 1, "1")]).await;
    }
    set_kind(puzzling_id, 99).await;
    let asked = [(other_id, 0), (puzzling_id, 0)];
    assert!(matches!(store.load_journals(&asked).await, Err(StoreError::Unknown { .. })));
    assert_eq!(store.load_journals(&asked[..1]).await.unwrap()[0].entries.len(), 2, "the other one is whole");
    // The row was read: the database is not to blame, and neither is the journal.
    assert_eq!(store.find_unreadable(puzzling_id, 0).await.unwrap(), None);
}
