//! Runs without end: `continue_as_new`, saved state, bounded journals, and what a replay gives again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunId, Status};
use forge_wf_tests::waiting::*;
use forge_wf_tests::workflows::open_gate;
use forge_wf_tests::{eventually, on_every_backend};

use crate::{GATE, quick};

on_every_backend!(a_run_goes_on_as_its_next_generation_with_what_it_saved_and_what_it_was_sent, |database| {
    let rt = quick(database).build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let run = rt.start(laps, Lap { lap: 0, laps: 3, log: log.clone() }).key("runner").await.unwrap();
    for n in [10, 20, 30, 40] {
        rt.send_event(&run, Counted(n)).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), 104);
    assert_eq!(run.state::<u64>("sum").await.unwrap(), Some(104));
    assert_eq!(rt.run_by_key(laps, "runner").await.unwrap().unwrap().id(), run.id());
    let effects = std::fs::read_to_string(log).unwrap();
    let keys: std::collections::HashSet<_> = effects.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(
        (effects.lines().count(), keys.len()),
        (4, 4),
        "a step of another generation is another call:\n{effects}"
    );
    let generations = database
        .texts(
            "SELECT generation || ' ' || count(*) FROM forge_wf_journal GROUP BY generation ORDER BY generation",
            "SELECT generation || ' ' || count(*) FROM forge_wf.journal GROUP BY generation ORDER BY generation",
        )
        .await;
    assert_eq!(generations, ["0 4", "1 4", "2 4", "3 4"], "start, event, step, end: each journal is fresh");
    rt.shutdown().await;
});

on_every_backend!(a_generation_that_waits_survives_its_worker, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(laps, Lap { lap: 0, laps: 2, log: String::new() }).await.unwrap();
    let id = run.id();
    rt.send_event(id, Counted(1)).await.unwrap();
    eventually("the second generation waiting", async || {
        let rows = database
            .texts(
                "SELECT 'it' FROM forge_wf_runs WHERE generation = 1 AND state = 2",
                "SELECT 'it' FROM forge_wf.runs WHERE generation = 1 AND state = 2",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    drop(run);
    rt.shutdown().await;
    let rt = quick(database).build().await.unwrap();
    for n in [1, 1] {
        rt.send_event(id, Counted(n)).await.unwrap();
    }
    assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), 6);
    rt.shutdown().await;
});

on_every_backend!(a_run_does_not_go_on_while_it_waits_for_a_child, |database| {
    let rt = quick(database).build().await.unwrap();
    let said = rt.start(continues_too_early, 0).await.unwrap().result().await.unwrap();
    assert!(said.starts_with("work_in_flight: ") && said.contains("child:waiting_child#0"), "{said}");
    rt.shutdown().await;
});

on_every_backend!(a_journal_that_grows_too_long_blocks_its_run_with_advice, |database| {
    let rt = quick(database).journal_limit(50).build_id("narrow").build().await.unwrap();
    let run = rt.start(never_ends, 70).await.unwrap();
    let id = run.id();
    let error = run.result().await.unwrap_err();
    let Error::RunBlocked { status, message, .. } = error else { panic!("{error}") };
    assert_eq!(status, Status::BlockedJournalLimit);
    assert!(message.contains("continue_as_new") && message.contains("50"), "{message}");
    drop(run);
    rt.shutdown().await;
    let rt = quick(database).journal_limit(100).build_id("wide").build().await.unwrap();
    assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), 70, "nothing was lost");
    rt.shutdown().await;
});

on_every_backend!(what_a_body_asks_for_is_the_same_on_every_replay, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let mut all = Vec::new();
    for _ in 0..2 {
        let run = rt.start(same_again, ()).await.unwrap();
        for pair in run.result().await.unwrap() {
            assert_eq!(pair[0], pair[1], "recorded in an earlier life, and asked for again in this one");
            assert_ne!(pair[0][0][0], pair[0][1][0], "two calls give two ids");
            assert_ne!(pair[0][0][1], pair[0][1][1], "two generators give other numbers");
            all.push(pair[0][0][0].to_string());
        }
        assert!(run.counts().replayed > 0);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "and two runs give other ids");
    rt.shutdown().await;
});

on_every_backend!(saved_state_is_read_from_outside_while_the_run_lives, |database| {
    let _gate = GATE.lock().await;
    open_gate(false);
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(tells_progress, ()).await.unwrap();
    let seen = eventually("progress", async || run.state::<String>("progress").await.unwrap()).await;
    assert_eq!(seen, "at the gate");
    assert_eq!(run.state::<String>("nothing").await.unwrap(), None);
    assert!(matches!(run.state::<u64>("progress").await.unwrap_err(), Error::StateUnusable { .. }));
    open_gate(true);
    assert_eq!(run.result().await.unwrap().as_deref(), Some("behind the gate"));
    assert_eq!(run.state::<String>("progress").await.unwrap().as_deref(), Some("behind the gate"));
    rt.shutdown().await;
});

on_every_backend!(a_chatty_run_that_stays_in_memory_is_not_replayed, |database| {
    let rt = quick(database).park_for(Duration::from_secs(60)).build().await.unwrap();
    let run = rt.start(chatty, 100).await.unwrap();
    for _ in 0..100 {
        rt.send_event(&run, Counted(1)).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), 100);
    assert_eq!(run.counts().replayed, 0);
    rt.shutdown().await;
});

/// In which runs, with so many generations left, a seat is being booked.
static BOOKING: Mutex<BTreeSet<(RunId, u64)>> = Mutex::new(BTreeSet::new());

/// Books a seat, if it is let.
#[step(compensate = give_seat_back)]
async fn book_a_seat(ctx: &StepContext, left: u64) -> Result<u64> {
    BOOKING.lock().unwrap().insert((ctx.run_id(), left));
    ctx.cancelled().await;
    Ok(1)
}

/// Returns once a seat is being booked.
#[step]
async fn see_the_booking(ctx: &StepContext, left: u64) -> Result<()> {
    while !BOOKING.lock().unwrap().contains(&(ctx.run_id(), left)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Gives a seat back.
#[step]
async fn give_seat_back(seat: u64) -> Result<()> {
    assert_eq!(seat, 1);
    Ok(())
}

/// Holds a seat until it is told to let it go.
#[workflow(compensate = give_seat_back)]
async fn holds_a_seat(ctx: &WorkflowContext) -> Result<u64> {
    ctx.wait_for_event::<Approved>().await.map(|_| 1)
}

/// Drops what can be undone, and goes on as new as soon as it may; returns how often it was refused, in all generations.
#[workflow]
async fn drops_and_goes_on(ctx: &WorkflowContext, (left, mut refused): (u64, u64)) -> Result<u64> {
    if left == 0 {
        return Ok(refused);
    }
    tokio::select! {
        biased;
        _ = book_a_seat(ctx, left) => {}
        _ = holds_a_seat(ctx) => {}
        _ = see_the_booking(ctx, left) => {}
    }
    loop {
        let error: Failure = match ctx.continue_as_new::<Never>((left - 1, refused)).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if error.code() != Some("work_in_flight") {
            return Err(error);
        }
        refused += 1;
        ctx.sleep(Duration::from_millis(5)).await?;
    }
}

enum Never {}

on_every_backend!(a_run_goes_on_as_new_once_what_it_dropped_is_undone, |database| {
    for park_for in [Duration::ZERO, Duration::from_secs(60)] {
        let rt = quick(database).park_for(park_for).build().await.unwrap();
        let run = rt.start(drops_and_goes_on, (4, 0)).await.unwrap();
        let refused = run.result().await.unwrap();
        assert!(refused >= 4, "it was refused {refused} times: at least once in each generation");
        assert_eq!(run.show().await.unwrap().generation, 4);
        rt.shutdown().await;
    }
    let left = database
        .texts(
            "SELECT key || ' ' || state FROM forge_wf_journal WHERE key IN ('step:book_a_seat', 'undo:step:book_a_seat') GROUP BY 1 ORDER BY 1",
            "SELECT key || ' ' || state FROM forge_wf.journal WHERE key IN ('step:book_a_seat', 'undo:step:book_a_seat') GROUP BY 1 ORDER BY 1",
        )
        .await;
    assert_eq!(left, ["step:book_a_seat 3", "undo:step:book_a_seat 1"], "abandoned, and undone");
});
