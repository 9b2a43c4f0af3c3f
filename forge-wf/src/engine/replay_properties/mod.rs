//! What makes every combinator replay alike, shown with the pure core alone: random bodies, random orders, every prefix.
//!
//! [`program`] makes bodies over what [`body`] gives them, [`harness`] runs and replays them; [`misfits`] gives them
//! journals that do not fit, [`foreign`] lets them wait for what is not durable.

mod body;
mod foreign;
mod harness;
mod misfits;
mod program;

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, join_all};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::sync::mpsc;

use body::{Ctx, Program, Value, program};
use harness::{record, replay, replay_all};
use program::{Node, any_program, mix, rest, run};

fn of_node(node: Node) -> Program {
    let node = Arc::new(node);
    Arc::new(move |ctx| {
        let node = node.clone();
        Box::pin(async move { run(&node, &ctx, 1).await })
    })
}

/// Inside a task, so that tokio's cooperative budget is in force.
fn in_a_task<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { work() })
}

fn recorded_and_replayed(node: Node, seed: u64, deaths: bool) -> Result<usize, String> {
    let program = of_node(node);
    in_a_task(|| {
        let recording = record(&program, seed, deaths)?;
        replay_all(&program, &recording)?;
        Ok(recording.journal.len())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_prefix_of_a_journal_replays_alike(node in any_program(false), seed: u64) {
        recorded_and_replayed(node, seed, false).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn bodies_that_wake_themselves_and_talk_through_channels_replay_alike(node in any_program(true), seed: u64) {
        recorded_and_replayed(node, seed, false).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_run_that_dies_again_and_again_goes_on_where_it_was(node in any_program(true), seed: u64) {
        recorded_and_replayed(node, seed, true).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn the_generated_programs_are_worth_replaying() {
    let mut runner = TestRunner::deterministic();
    let (mut entries, mut drops, mut longest) = (0, 0, 0);
    for seed in 0..300 {
        let node = any_program(true).new_tree(&mut runner).unwrap().current();
        let recording = record(&of_node(node), seed, true).unwrap();
        entries += recording.journal.len();
        longest = longest.max(recording.journal.len());
        drops += recording.moments.iter().map(|moment| moment.dropped.len()).sum::<usize>();
    }
    assert!(entries > 1_500 && drops > 150 && longest > 30, "{entries} entries, {drops} drops, at most {longest}");
}

fn long_body(ctx: &Ctx) -> BoxFuture<'_, Value> {
    async move {
        let mut sum = 0;
        for round in 0..100 {
            let (tx, mut rx) = mpsc::unbounded_channel();
            let calls = (0..50).map(|n| {
                let tx = tx.clone();
                async move {
                    let value = ctx.call(n % 3, round * 50 + n as u64).await;
                    rest(u8::from(n % 10 == 0)).await;
                    let _ = tx.send(value);
                    value
                }
            });
            let calls = join_all(calls.collect::<Vec<_>>());
            drop(tx);
            let heard = async {
                let mut heard = 0;
                while let Some(value) = rx.recv().await {
                    heard = mix(heard, value.unwrap_or_else(|failed| !failed));
                }
                heard
            };
            let (values, heard) = tokio::join!(calls, heard);
            sum = values.into_iter().flatten().fold(mix(sum, heard), mix);
        }
        Ok(sum)
    }
    .boxed()
}

#[test]
fn five_thousand_entries_replay_alike_whatever_the_budget_of_the_task() {
    let program = program(long_body);
    let recording = in_a_task(|| record(&program, 17, false)).unwrap();
    assert_eq!(recording.journal.len(), 5000);
    for prefix in [0, 1, 255, 256, 257, 2_525, 4_999, 5_000] {
        in_a_task(|| replay(&program, &recording, prefix)).unwrap();
    }
    replay(&program, &recording, 4_000).expect("outside a runtime too");
}

#[test]
fn the_budget_is_in_force_around_those_tests() {
    let (tx, mut rx) = mpsc::unbounded_channel();
    (0..1000).for_each(|n| tx.send(n).unwrap());
    let received = in_a_task(|| (0..1000).take_while(|_| rx.recv().now_or_never().is_some()).count());
    assert!(received < 1000, "without it, these tests would prove nothing about it");
}

/// How many of a hundred seeds show that this body does not replay.
fn mismatches(node: &Node) -> usize {
    (0..100).filter(|&seed| recorded_and_replayed(node.clone(), seed, false).is_err()).count()
}

#[test]
fn a_select_without_biased_is_seen_to_diverge() {
    let calls = |keys: [usize; 2]| Node::Seq(keys.map(Node::Call).to_vec());
    for tokio in [true, false] {
        let race = |biased: bool| {
            let racers = Box::new([calls([0, 1]), calls([0, 2])]);
            let race = match (biased, tokio) {
                (false, _) => Node::Unbiased(tokio, racers),
                (true, true) => Node::Select(Box::new([racers[0].clone(), racers[1].clone(), Node::Call(1)])),
                (true, false) => Node::SelectBiased(racers),
            };
            Node::Seq(vec![race, Node::Call(1)])
        };
        assert_eq!(mismatches(&race(true)), 0);
        assert!(mismatches(&race(false)) > 50, "the harness must see what does not replay");
    }
}

#[test]
fn a_body_that_counts_its_lives_is_seen_to_diverge() {
    let lives = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let body: Program = Arc::new(move |ctx| {
        let life = lives.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move { ctx.call(0, life).await })
    });
    let recording = record(&body, 1, false).unwrap();
    let why = replay(&body, &recording, 1).unwrap_err();
    assert!(why.contains("step:a#0") && why.contains("at entry 1"), "{why}");
}
