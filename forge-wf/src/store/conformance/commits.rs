//! Promises of `commit`.

use std::sync::Arc;

use super::support::*;
use crate::journal::{Entry, EntryKind, EntryState, Undo, UndoState};
use crate::model::time::from_micros;
use crate::model::{CallId, Digest, Lane, Phase, State};
use crate::store::{
    Batch, Birth, CommitAnswer, Due, Mail, Mark, Marked, NewRun, RunImage, RunUpdate, Sent, Store, Write,
};

pub async fn a_batch_sent_twice_is_applied_once(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    let batch = Batch {
        births: vec![Birth { run, image: executing() }],
        inserts: writes(id, vec![completed("step:charge", 0, 1, "1")]),
        ..Batch::default()
    };
    for _ in 0..3 {
        let answer = store.commit(worker.id, Lane(1), 1, &batch).await.unwrap();
        assert_eq!(answer, CommitAnswer::default());
    }
    worker.batch_no = 1;
    assert_eq!(calls(&store, id).await, ["start#0", "step:charge#0"]);

    // The number decides, not the content: every item of a batch sent again counts as applied.
    worker.update(id, 0, released()).await;
    let again = Batch { updates: vec![RunUpdate { run: id, claim_no: 0, image: executing() }], ..Batch::default() };
    assert_eq!(store.commit(worker.id, Lane(1), 2, &again).await.unwrap(), CommitAnswer::default());
    assert_eq!(view(&store, id).await.worker, None);
}

pub async fn a_lane_behind_the_number_before_has_lost_commits(store: Arc<dyn Store>) {
    // A writer sends a number only after the one before was acknowledged. Writing on would leave a gap in a journal.
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    let batch = Batch { births: vec![Birth { run, image: executing() }], ..Batch::default() };
    assert!(has_lost_commits(&store.commit(worker.id, Lane(1), 2, &batch).await));
    assert!(store.run(id, LONG).await.unwrap().is_none());
    assert!(has_lost_commits(&store.commit(worker.id, Lane(1), 2, &batch).await), "as often as it is sent");
    // The worker is alive, so its row goes at once, and nothing waits for the lease.
    store.remove_worker(worker.id).await.unwrap();
    worker = Hand::new(&store).await;
    worker.commit(batch).await;
}

pub async fn an_older_batch_counts_as_applied(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    worker.bear(bound()).await;
    worker.bear(bound()).await;
    let late = bound();
    let id = late.id;
    let batch = Batch { births: vec![Birth { run: late, image: executing() }], ..Batch::default() };
    assert_eq!(store.commit(worker.id, Lane(1), 1, &batch).await.unwrap(), CommitAnswer::default());
    assert!(store.run(id, LONG).await.unwrap().is_none());
}

pub async fn a_refused_batch_writes_nothing_and_leaves_the_number_free(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (good, twice) = (bound(), bound());
    let (good_id, twice_id) = (good.id, twice.id);
    worker.bear(twice).await;
    worker.append(twice_id, vec![completed("step:charge", 0, 1, "1")]).await;

    let mut batch = Batch {
        births: vec![Birth { run: good, image: executing() }],
        updates: vec![RunUpdate { run: twice_id, claim_no: 0, image: paused() }],
        inserts: writes(twice_id, vec![completed("step:label", 0, 2, "2"), completed("step:charge", 0, 3, "3")]),
        sent: vec![Sent { by: twice_id, mail: event(twice_id, "true") }],
        ..Batch::default()
    };
    assert!(is_refused(&worker.try_commit(batch.clone()).await), "the entry step:charge#0 has a row already");
    assert!(store.run(good_id, LONG).await.unwrap().is_none());
    assert_eq!(view(&store, twice_id).await.state, State::Owned);
    assert_eq!(calls(&store, twice_id).await, ["start#0", "step:charge#0"]);
    assert!(store.unnoticed_mail(worker.id, &[]).await.unwrap().is_empty());

    batch.inserts.pop();
    worker.commit(batch).await;
    assert_eq!(calls(&store, twice_id).await, ["start#0", "step:charge#0", "step:label#0"]);
}

pub async fn an_outcome_without_a_row_is_refused(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let batch = Batch { outcomes: writes(id, vec![completed("step:charge", 0, 1, "1")]), ..Batch::default() };
    assert!(is_refused(&worker.try_commit(batch).await), "it would be lost without a word");
    assert_eq!(calls(&store, id).await, ["start#0"]);
}

pub async fn a_run_born_claimed_is_owned_and_not_claimable(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    worker.bear(run.clone()).await;
    let seen = view(&store, run.id).await;
    assert_eq!((seen.state, seen.worker), (State::Owned, Some(worker.id)));
    assert_eq!(entries(&store, run.id).await, [run.start_entry()]);
    assert!(worker.claim(10).await.is_empty());
    worker.update(run.id, 0, released()).await;
    assert_eq!(worker.claim_one().await.id, run.id);
}

pub async fn a_run_born_released_can_be_claimed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = checkout();
    let id = run.id;
    let mut image = released();
    image.needs = Some(NAME);
    worker.commit(Batch { births: vec![Birth { run, image }], ..Batch::default() }).await;
    let claimed = worker.claim_one().await;
    assert_eq!((claimed.id, claimed.definition), (id, Some(ONE)));
}

pub async fn a_run_born_and_ended_in_one_batch_keeps_its_output(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = NewRun { key: Some("order-17".into()), ..bound() };
    let id = run.id;
    worker
        .commit(Batch {
            births: vec![Birth { run, image: ended(State::Completed) }],
            inserts: writes(id, vec![completed("step:charge", 0, 1, "17"), end(2, "{\"receipt\":17}")]),
            ..Batch::default()
        })
        .await;
    let seen = view(&store, id).await;
    assert_eq!((seen.phase, seen.state, seen.worker), (Phase::Ended, State::Completed, None));
    assert_eq!(seen.output, Some(json("{\"receipt\":17}")));
    assert!(seen.ended_at.is_some() && seen.ready_at.is_none());
    assert_eq!(calls(&store, id).await, ["start#0", "step:charge#0", "end#0"]);
    assert!(!store.start_run(&keyed("order-17")).await.unwrap().created);
    assert!(store.owned_runs(worker.id).await.unwrap().is_empty());
}

pub async fn an_ended_run_is_never_claimed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    for state in [State::Completed, State::Failed, State::Compensated, State::Cancelled, State::Killed, State::Retired]
    {
        let run = bound();
        let id = run.id;
        worker.bear(run).await;
        worker.update(id, 0, ended(state)).await;
        worker.send(vec![event(id, "true")]).await;
        assert!(worker.claim(10).await.is_empty(), "{state:?}");
        assert!(view(&store, id).await.status().is_ended());
    }
}

pub async fn a_failed_run_keeps_its_failure(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let mut image = ended(State::Failed);
    image.failure = Some(json("{\"message\":\"no stock\"}"));
    worker.update(id, 0, image.clone()).await;
    let seen = view(&store, id).await;
    assert_eq!((seen.failure, seen.output), (image.failure, None));
    assert!(seen.ended_at.unwrap() >= seen.created_at);
}

pub async fn payloads_come_back_equal(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let texts = [
        "1e308".to_owned(),
        "18446744073709551615".to_owned(),
        "-0.0".to_owned(),
        "\"\\u0000\"".to_owned(),
        "\"it's \\\"quoted\\\" \\\\ ; -- $1 ?\"".to_owned(),
        "\"🦀 é \u{2028} ß\"".to_owned(),
        "{\"b\":1,\"a\":2,\"a\":3}".to_owned(),
        " [ 1 , 2 ] ".to_owned(),
        format!("\"{}\"", "x".repeat(4 << 20)),
    ];
    let all = |n: usize| texts.iter().map(move |text| completed("step:echo", n as u32, n as i32 + 1, text));
    for (n, _) in texts.iter().enumerate() {
        worker.append(id, vec![all(n).nth(n).unwrap()]).await;
    }
    let found: Vec<_> = entries(&store, id).await.into_iter().skip(1).map(|entry| entry.output.unwrap()).collect();
    assert_eq!(found.len(), texts.len());
    for (found, text) in found.iter().zip(&texts) {
        assert!(found.as_str() == text, "{found:?} is not {}", text.chars().take(40).collect::<String>());
    }
}

pub async fn every_column_of_an_entry_comes_back_equal(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let mut full = completed("step:charge", u32::MAX - 1, 1, "[1]");
    full.state = EntryState::Failed;
    full.scope = 7;
    full.args_hash = u64::MAX - 5;
    full.args = Some(json("[\"sku\",2]"));
    full.failure = Some(json("{\"message\":\"no\"}"));
    full.attempts = 5;
    full.due_at = Some(from_micros(1_700_000_000_123_456));
    full.undo = Some(Undo { step: "refund".into(), digest: Digest(u128::MAX - 3), args: json("[17]") });
    full.undo_state = Some(UndoState::Open);
    let mut bare = Entry::new(CallId::new("sleep", 0), EntryKind::Sleep, EntryState::Started, full.at);
    bare.due_at = Some(from_micros(-1));
    worker.append(id, vec![full.clone(), bare.clone()]).await;
    assert_eq!(entries(&store, id).await[1..], [full, bare]);
}

pub async fn an_entry_with_a_seq_keeps_its_outcome(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let mut first = completed("step:charge", 0, 1, "1");
    first.undo = Some(Undo { step: "refund".into(), digest: Digest(3), args: json("[1]") });
    first.undo_state = Some(UndoState::Open);
    worker.append(id, vec![first.clone()]).await;
    let mut second = completed("step:charge", 0, 2, "2");
    second.state = EntryState::Failed;
    second.attempts = 9;
    second.undo = first.undo.clone();
    second.undo_state = Some(UndoState::Done);
    worker.commit(Batch { outcomes: writes(id, vec![second]), ..Batch::default() }).await;
    first.undo_state = Some(UndoState::Done);
    assert_eq!(entries(&store, id).await[1..], [first]);
}

pub async fn a_started_entry_gets_its_outcome(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let names: Vec<_> = (0..90).map(|n| started("step:charge", n)).collect();
    worker.append(id, names).await;
    // More than one retry is recorded before the outcome; each replaces the whole entry.
    let mut tried = started("step:charge", 0);
    tried.attempts = 2;
    tried.failure = Some(json("{\"message\":\"again\"}"));
    tried.due_at = Some(from_micros(17));
    worker.commit(Batch { outcomes: writes(id, vec![tried.clone()]), ..Batch::default() }).await;
    assert!(entries(&store, id).await.contains(&tried));

    let outcomes: Vec<_> = (0..90).map(|n| completed("step:charge", n, n as i32 + 1, &n.to_string())).collect();
    worker.commit(Batch { outcomes: writes(id, outcomes.clone()), ..Batch::default() }).await;
    assert_eq!(entries(&store, id).await[1..], outcomes);
}

pub async fn journals_are_sorted_by_seq_with_the_rest_last(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let mut dropped = completed("step:label", 0, 0, "1");
    dropped.seq = None;
    dropped.state = EntryState::Abandoned;
    worker
        .append(
            id,
            vec![
                started("step:z", 10),
                started("step:z", 9),
                dropped,
                completed("step:b", 0, 10, "1"),
                completed("step:a", 0, 9, "1"),
                completed("step:c", 0, 2, "1"),
            ],
        )
        .await;
    let expected = ["start#0", "step:c#0", "step:a#0", "step:b#0", "step:label#0", "step:z#9", "step:z#10"];
    assert_eq!(calls(&store, id).await, expected);
    let journal = store.journal(id).await.unwrap().unwrap();
    assert_eq!(journal.entries.iter().map(|entry| entry.call.to_string()).collect::<Vec<_>>(), expected);
}

pub async fn generations_are_kept_apart(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    worker.append(id, vec![completed("step:charge", 0, 1, "\"old\"")]).await;
    let mut image = executing();
    image.generation = 1;
    worker
        .commit(Batch {
            updates: vec![RunUpdate { run: id, claim_no: 0, image }],
            inserts: vec![
                Write { run: id, generation: 1, entry: Entry::start(json("2"), now()) },
                Write { run: id, generation: 1, entry: completed("step:charge", 0, 1, "\"new\"") },
            ],
            ..Batch::default()
        })
        .await;
    let journals = store.load_journals(&[(id, 1), (id, 0)]).await.unwrap();
    let output = |at: usize| journals[at].entries[1].output.clone().unwrap();
    assert_eq!((journals[0].generation, output(0)), (1, json("\"new\"")));
    assert_eq!((journals[1].generation, output(1)), (0, json("\"old\"")));
    let present = store.journal(id).await.unwrap().unwrap();
    assert_eq!((present.generation, present.entries.len()), (1, 2));
    assert_eq!(view(&store, id).await.generation, 1);
}

pub async fn a_new_generation_may_change_the_seed(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let (kept, changed) = (bound(), bound());
    let (kept_id, changed_id) = (kept.id, changed.id);
    let born = |run, seed| Birth { run, image: RunImage { seed, ..executing() } };
    worker.commit(Batch { births: vec![born(kept, None), born(changed, Some(-3))], ..Batch::default() }).await;
    let seed_of = async |worker: &mut Hand, run, claim_no, image| {
        worker.update(run, claim_no, image).await;
        let claimed = worker.claim_one().await;
        (claimed.seed, claimed.claim_no)
    };
    let (seed, claim_no) = seed_of(&mut worker, kept_id, 0, released()).await;
    assert_eq!(seed, -17);
    let next = RunImage { seed: Some(i64::MIN), generation: 1, ..released() };
    let (seed, claim_no) = seed_of(&mut worker, kept_id, claim_no, next).await;
    assert_eq!(seed, i64::MIN);
    assert_eq!(seed_of(&mut worker, kept_id, claim_no, released()).await.0, i64::MIN);
    assert_eq!(seed_of(&mut worker, changed_id, 0, released()).await.0, -3);
}

pub async fn three_hundred_operations_fit_one_batch(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let runs: Vec<_> = (0..100).map(|_| bound()).collect();
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    worker
        .commit(Batch {
            births: runs.into_iter().map(|run| Birth { run, image: executing() }).collect(),
            inserts: ids.iter().flat_map(|id| writes(*id, vec![completed("step:charge", 0, 1, "1")])).collect(),
            sent: ids.iter().map(|id| Sent { by: *id, mail: event(*id, "true") }).collect(),
            ..Batch::default()
        })
        .await;
    let mail = store.unnoticed_mail(worker.id, &[]).await.unwrap();
    assert_eq!(mail.len(), 100);
    let taken = |mail: &Mail| Marked { run: mail.mail.run, mark: Mark { mail: mail.mail.id, taken: true } };
    worker
        .commit(Batch {
            updates: ids.iter().map(|id| RunUpdate { run: *id, claim_no: 0, image: waiting(Due::Never) }).collect(),
            inserts: ids.iter().flat_map(|id| writes(*id, vec![completed("step:label", 0, 2, "1")])).collect(),
            marks: mail.iter().map(taken).collect(),
            ..Batch::default()
        })
        .await;
    for id in ids {
        assert_eq!(calls(&store, id).await, ["start#0", "step:charge#0", "step:label#0"]);
        assert_eq!(view(&store, id).await.state, State::Waiting);
    }
    assert!(worker.claim(200).await.is_empty());
}

pub async fn a_call_that_was_dropped_can_be_sent_again(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    for n in 0..40 {
        let batch =
            Batch { inserts: writes(id, vec![completed("step:charge", n, n as i32 + 1, "1")]), ..Batch::default() };
        // The caller goes away at once, or after it has begun; what it began goes on or never was.
        let batch = worker.with_claims(batch);
        let call = store.commit(worker.id, Lane(1), worker.batch_no + 1, &batch);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(u64::from(n) * 50), call).await;
        worker.commit(batch).await;
    }
    assert_eq!(calls(&store, id).await.len(), 41);
}

pub async fn every_lane_counts_for_itself(store: Arc<dyn Store>) {
    assert!(store.commit_lanes() >= 1);
    let worker = Hand::new(&store).await;
    for lane in 1..=store.commit_lanes() {
        for batch_no in 1..=2 {
            let batch = Batch { births: vec![Birth { run: bound(), image: executing() }], ..Batch::default() };
            store.commit(worker.id, Lane(lane), batch_no, &batch).await.unwrap();
        }
    }
    assert_eq!(store.owned_runs(worker.id).await.unwrap().len() as i16, 2 * store.commit_lanes());
}

/// So that a writer can find out whether the database refuses everybody, or only what a batch holds.
pub async fn an_empty_batch_that_touches_all_tables_only_moves_its_lane(store: Arc<dyn Store>) {
    let mut worker = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    let before = (calls(&store, id).await, view(&store, id).await.state);
    worker.commit(Batch::probe()).await;
    assert_eq!((calls(&store, id).await, view(&store, id).await.state), before);
    // Its number is used up: the next one follows, and the same one again writes nothing.
    worker.append(id, vec![completed("step:charge", 0, 1, "1")]).await;
    assert_eq!(calls(&store, id).await, ["start#0", "step:charge#0"]);
}

/// So that a writer can give up a batch whose fate it does not know, and send the parts of it again.
pub async fn an_empty_batch_in_the_place_of_another_settles_whether_that_was_applied(store: Arc<dyn Store>) {
    let worker = Hand::new(&store).await;
    let (late, early) = (bound(), bound());
    let (late_id, early_id) = (late.id, early.id);
    let batch = |run| Batch { births: vec![Birth { run, image: executing() }], ..Batch::default() };
    let (late, early) = (batch(late), batch(early));
    let commit = async |number, batch: &Batch| store.commit(worker.id, Lane(1), number, batch).await;
    let nothing_else = CommitAnswer::default();

    // Number 1 never arrived, and now never will, however often either is sent.
    for _ in 0..2 {
        assert_eq!(commit(2, &Batch::probe()).await.unwrap(), nothing_else);
        assert_eq!(commit(1, &late).await.unwrap(), nothing_else);
    }
    assert!(store.run(late_id, LONG).await.unwrap().is_none());
    // Number 3 was applied. The lane stands there, and number 4 is free.
    commit(3, &early).await.unwrap();
    for _ in 0..2 {
        let answer = commit(4, &Batch::probe()).await.unwrap();
        assert_eq!(answer, CommitAnswer { other_applied: true, ..CommitAnswer::default() });
    }
    commit(4, &late).await.unwrap();
    for id in [early_id, late_id] {
        assert!(store.run(id, LONG).await.unwrap().is_some());
    }
    // Batch 7 in the place of 6 needs the lane at 5. It stands at 4, so the database has lost batch 5.
    assert!(has_lost_commits(&commit(7, &Batch::probe()).await));
}
