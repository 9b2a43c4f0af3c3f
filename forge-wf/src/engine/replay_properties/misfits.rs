//! A journal that does not fit the code is refused before anything starts, in words that name the entry and the call.

use futures::future::FutureExt;
use proptest::prelude::*;

use super::body::{Ctx, Program, Value, program};
use super::harness::{Moment, Session, entry_of, record};
use super::program::{Node, any_program, mix};
use super::{in_a_task, long_body, of_node};
use crate::engine::drive::Stuck;
use crate::journal::{Entry, EntryState};
use crate::model::{BlockReason, CallId, Payload};

/// What the first moment after this journal is. [`Session::advance`] itself checks that nothing starts before it.
fn resume(program: &Program, journal: &[Entry]) -> Result<Moment, Stuck> {
    in_a_task(|| Session::begin(program, journal).advance())
}

fn refused(program: &Program, journal: &[Entry], words: &[&str]) -> Result<(), TestCaseError> {
    match resume(program, journal) {
        Ok(moment) => Err(TestCaseError::fail(format!("accepted: {moment:?}"))),
        Err(stuck) => {
            prop_assert_eq!(stuck.reason, BlockReason::Divergence);
            for word in words {
                prop_assert!(stuck.message.contains(word), "no {word:?} in: {}", stuck.message);
            }
            Ok(())
        }
    }
}

fn numbered(mut journal: Vec<Entry>) -> Vec<Entry> {
    for (entry, seq) in journal.iter_mut().zip(1..) {
        entry.seq = Some(seq);
    }
    journal
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn other_arguments_a_missing_call_and_a_result_too_many_are_refused(node in any_program(true), seed: u64) {
        let program = of_node(node);
        let journal = in_a_task(|| record(&program, seed, false)).map_err(TestCaseError::fail)?.journal;
        for (at, entry) in journal.iter().enumerate() {
            let (call, place) = (entry.call.to_string(), format!("at entry {}", at + 1));
            let mut changed = journal.clone();
            changed[at].args_hash ^= 1;
            refused(&program, &changed, &[&place, &call, "arguments"])?;
            refused(&program, &changed[..=at], &[&place, &call, "arguments"])?;

            let mut missing = journal.clone();
            missing[at].call = CallId::new("step:gone", 3);
            refused(&program, &missing, &[&place, "step:gone#3"])?;
        }
        for prefix in 0..=journal.len() {
            let extra = entry_of(&CallId::new("step:extra", 0), 0, 1);
            let longer = numbered([&journal[..prefix], &[extra]].concat());
            refused(&program, &longer, &[&format!("at entry {}", prefix + 1), "step:extra#0"])?;
        }
    }

    #[test]
    fn results_in_an_order_the_code_cannot_take_are_refused(node in any_program(true), seed: u64) {
        let program = of_node(node);
        let recording = in_a_task(|| record(&program, seed, false)).map_err(TestCaseError::fail)?;
        for (at, pair) in recording.journal.windows(2).enumerate() {
            // The second call began only when the first one's result had been handed over.
            if recording.moments[at + 1].starts.contains(&pair[1].call) {
                let mut other = recording.journal.clone();
                other.swap(at, at + 1);
                refused(&program, &numbered(other), &[&format!("at entry {}", at + 1), &pair[1].call.to_string()])?;
            }
        }
    }

    #[test]
    fn other_code_starts_nothing_that_has_an_outcome(old in any_program(true), new in any_program(true), seed: u64) {
        let journal = in_a_task(|| record(&of_node(old), seed, false)).map_err(TestCaseError::fail)?.journal;
        match resume(&of_node(new), &journal) {
            Ok(moment) => prop_assert!(journal.iter().all(|entry| !moment.starts.contains(&entry.call))),
            Err(stuck) => prop_assert_eq!(stuck.reason, BlockReason::Divergence),
        }
    }

    #[test]
    fn a_started_call_that_the_code_never_makes_is_refused(node in any_program(true), seed: u64) {
        let program = of_node(node);
        let journal = in_a_task(|| record(&program, seed, false)).map_err(TestCaseError::fail)?.journal;
        for prefix in 0..=journal.len() {
            for state in [EntryState::Started, EntryState::Abandoned] {
                let mut open = entry_of(&CallId::new("step:gone", 0), 0, 1);
                open.state = state;
                refused(&program, &[&journal[..prefix], &[open]].concat(), &["step:gone#0"])?;
            }
        }
    }
}

#[test]
fn a_misfit_far_down_a_long_journal_is_found_before_anything_starts() {
    let program = program(long_body);
    let mut journal = in_a_task(|| record(&program, 5, false)).unwrap().journal;
    journal[4_100].args_hash ^= 1;
    refused(&program, &journal, &["at entry 4101"]).unwrap();
    journal.truncate(4_102);
    refused(&program, &journal, &["at entry 4101"]).unwrap();
}

fn two_in_a_row(first: usize, second: usize) -> Program {
    of_node(Node::Seq(vec![Node::Call(first), Node::Call(second)]))
}

#[test]
fn the_words_name_the_entry_the_call_and_what_the_code_asks_for() {
    let journal = numbered(vec![entry_of(&CallId::new("step:a", 0), 1, 9), entry_of(&CallId::new("step:b", 0), 9, 9)]);
    assert_eq!(resume(&two_in_a_row(0, 1), &journal).unwrap().finished, Some(Ok("9".into())));
    for (code, words) in [
        (two_in_a_row(0, 2), "at entry 2 the journal holds the outcome of step:b#0, but the code waits for step:c#0; "),
        (
            two_in_a_row(1, 0),
            "at entry 2 the journal holds step:b#0 with arguments of fingerprint 0000000000000009, but \
                              the code calls it with other arguments, of fingerprint 0000000000000001 (written at program.rs:1:1); ",
        ),
        (
            of_node(Node::Call(0)),
            "at entry 2 the journal holds the outcome of step:b#0, but the code returned before, \
                                  with 1 recorded outcomes left over; ",
        ),
    ] {
        let message = resume(&code, &journal).unwrap_err().message;
        assert!(message.starts_with(words), "{message}");
        assert!(message.ends_with("or give the changed workflow a new version"), "{message}");
    }
}

#[test]
fn a_divergence_of_branches_that_wake_each_other_names_that_as_its_cause() {
    // Both branches wait for one `watch`, which wakes them in random order: sooner or later in another one than last time.
    fn watched(ctx: &Ctx) -> futures::future::BoxFuture<'_, Value> {
        async move {
            let (tell, told) = tokio::sync::watch::channel(0);
            let branch = |arg| {
                let mut told = told.clone();
                async move {
                    told.changed().await.unwrap();
                    ctx.call(0, arg).await
                }
            };
            let branches: futures::stream::FuturesUnordered<_> = (1..=8).map(branch).collect();
            let (_, all) = futures::join!(
                async {
                    ctx.call(1, 0).await.unwrap();
                    tell.send(1).unwrap();
                },
                futures::StreamExt::collect::<Vec<_>>(branches)
            );
            all.into_iter().sum()
        }
        .boxed()
    }
    let program = program(watched);
    let message = (0..10_000_u64).find_map(|seed| {
        let journal = in_a_task(|| record(&program, seed, false)).ok()?.journal;
        Some(resume(&program, &journal).err()?.message)
    });
    let message = message.expect("another order in one of ten thousand tries");
    assert!(message.contains("tokio::sync::watch") && message.contains("forge_wf::awaiting"), "{message}");
}

#[test]
fn a_divergence_behind_a_number_that_was_read_otherwise_names_it() {
    let journal = numbered(vec![entry_of(&CallId::new("step:a", 0), 1, 9), entry_of(&CallId::new("step:b", 0), 8, 9)]);
    for (input, cause) in [
        ("[0.5,\"0.011000000000000001\"]", "usually the workflow's code changed"),
        (
            "[0.5,0.011000000000000001]",
            "its `start` entry holds the number 0.011000000000000001, which earlier builds read",
        ),
    ] {
        let stuck = in_a_task(|| {
            let input = Payload::from_json_text(input);
            Session::begin_with(&two_in_a_row(0, 1), input, &journal, || ()).advance().unwrap_err()
        });
        assert_eq!(stuck.reason, BlockReason::Divergence);
        assert!(stuck.message.contains("other arguments") && stuck.message.contains(cause), "{}", stuck.message);
        assert!(stuck.message.ends_with("or give the changed workflow a new version"), "{}", stuck.message);
    }
}

#[test]
fn a_call_recorded_as_dropped_must_not_be_waited_for() {
    let mut dropped = entry_of(&CallId::new("step:a", 0), 1, 9);
    dropped.state = EntryState::Abandoned;
    refused(&of_node(Node::Call(0)), &[dropped], &["step:a#0 as dropped", "the code waits for it now"]).unwrap();
}

#[test]
fn restless_parts_that_fill_each_others_gaps_come_to_rest() {
    let restless = |pattern, key| Node::Restless(pattern, Box::new(Node::Call(key)));
    let program = of_node(Node::JoinAll(vec![restless(170, 0), restless(20, 0), restless(73, 1)]));
    let journal = in_a_task(|| record(&program, 0, false)).unwrap().journal;
    assert_eq!(journal.len(), 3);
}

fn unreadable() -> Vec<Entry> {
    let mut entry = entry_of(&CallId::new("step:a", 0), 1, 9);
    entry.output = Some(crate::model::Payload::from_json_text("\"nine\""));
    numbered(vec![entry])
}

#[test]
fn a_result_the_code_cannot_read_is_refused_by_name() {
    let words = ["at entry 1", "the outcome of step:a#0", "cannot read it", "nine"];
    refused(&of_node(Node::Call(0)), &unreadable(), &words).unwrap();
}

#[test]
fn a_result_the_code_cannot_read_is_refused_though_the_body_polls_on_returns_or_panics() {
    // By turns it wakes itself and polls the call twice.
    let polled_again = Node::Restless(0b1010_1010, Box::new(Node::Call(0)));
    let words = ["at entry 1", "the outcome of step:a#0", "cannot read it"];
    refused(&of_node(polled_again), &unreadable(), &words).unwrap();

    fn returns(ctx: &Ctx) -> futures::future::BoxFuture<'_, Value> {
        async move { ctx.call(0, 1).now_or_never().unwrap_or(Ok(mix(1, 2))) }.boxed()
    }
    // Without a poll of its own after the delivery nothing is read, so here the outcome is one too many.
    refused(&program(returns), &unreadable(), &["step:a#0"]).unwrap();

    fn gives_up(ctx: &Ctx) -> futures::future::BoxFuture<'_, Value> {
        async move {
            let mut call = std::pin::pin!(ctx.call(0, 1));
            let mut polls = 0;
            futures::future::poll_fn(|cx| {
                polls += 1;
                let polled = call.as_mut().poll(cx);
                assert!(polls < 2, "the body has lost its patience");
                polled
            })
            .await
        }
        .boxed()
    }
    refused(&program(gives_up), &unreadable(), &words).unwrap();
}
