//! Steps that a body has dropped: those that can be undone are, at once, while the body goes on.

use std::path::Path;
use std::time::Duration;

use forge_wf::{Error, RunHandle, Runtime, Status};
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{eventually, on_every_backend};
use tokio::sync::Mutex;

use crate::quick;

/// These tests mend and break the steps of the whole process, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

fn effects(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn plan(log: &Path, end: TripEnd) -> Trip {
    Trip { log: log.display().to_string(), legs: 0, end }
}

/// A run that has just dropped a booking which had begun.
async fn drops(rt: &Runtime, log: &Path, end: TripEnd, how: Dropping) -> RunHandle<()> {
    let run = rt.start(long_trip, (plan(log, end), how)).await.unwrap();
    let begun = |line: &String| line.starts_with("begin") || line == "book 2";
    eventually("the booking begun", async || effects(log).iter().any(begun).then_some(())).await;
    rt.send_event(&run, Approved { by: "the hasty one".into() }).await.unwrap();
    run
}

on_every_backend!(what_a_body_has_dropped_is_undone_while_it_goes_on, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).shutdown_grace(Duration::from_millis(300)).build().await.unwrap();
    for (how, end) in [
        (Dropping::Slowly, TripEnd::Arrives),
        (Dropping::Slowly, TripEnd::Fails),
        (Dropping::Deafly, TripEnd::Fails),
        (Dropping::Deafly, TripEnd::Arrives),
    ] {
        let log = folder.path().join(format!("{how:?} {end:?}"));
        let run = drops(&rt, &log, end, how).await;
        let undone = |log: &Path| effects(log).iter().any(|line| line.starts_with("give back 2 "));
        eventually("the booking given back", async || undone(&log).then_some(())).await;
        eventually("the run waiting", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
        rt.send_event(&run, Approved { by: "somebody".into() }).await.unwrap();
        match run.result().await {
            Ok(()) => assert_eq!(end, TripEnd::Arrives),
            Err(Error::RunFailed { status, .. }) => assert_eq!((status, end), (Status::Compensated, TripEnd::Fails)),
            Err(error) => panic!("{error}"),
        }
        let seen = effects(&log);
        let given_back: Vec<_> = seen.iter().filter(|line| line.starts_with("give back")).collect();
        let older: &[&str] = if end == TripEnd::Fails { &["give back 1 seat 1"] } else { &[] };
        assert_eq!(given_back[1..], *older, "{how:?}: {seen:?}");
        let details = run.show().await.unwrap();
        let undo = details.entries.iter().find(|entry| entry.call.starts_with("undo:step:book_")).unwrap();
        assert_eq!((undo.state, undo.seq), ("completed", None), "the body hears nothing of it");
    }
    rt.shutdown().await;
});

on_every_backend!(an_undo_of_what_was_dropped_that_gives_up_is_an_operators_at_the_end, |database| {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let call = "step:book_for_good_late#0";
    for early in [true, false] {
        mend(false);
        let log = folder.path().join(format!("{early}"));
        let run = drops(&rt, &log, TripEnd::Arrives, Dropping::ForGood).await;
        eventually("the undo given up", async || {
            let details = run.show().await.unwrap();
            let dropped = details.entries.into_iter().find(|entry| entry.call == call)?;
            (dropped.undo == Some("failed") && details.summary.status == Status::Waiting).then_some(())
        })
        .await;
        if early {
            // Before the run's end: nothing has to wait for it.
            mend(true);
            rt.client().retry(&run, "the counter is open").await.unwrap();
            eventually("the undo done", async || effects(&log).contains(&"give back seat".into()).then_some(())).await;
            rt.send_event(&run, Approved { by: "somebody".into() }).await.unwrap();
            run.result().await.unwrap();
        } else {
            rt.send_event(&run, Approved { by: "somebody".into() }).await.unwrap();
            let error = run.result().await.unwrap_err();
            let Error::RunBlocked { status: Status::BlockedCompensation, message, .. } = error else {
                panic!("{error}")
            };
            assert!(message.contains(call), "{message}");
            rt.client().skip_undo(&run, call, "let it be").await.unwrap();
            eventually("the end", async || (run.status().await.unwrap() == Status::Completed).then_some(())).await;
            assert_eq!(effects(&log), ["book 1", "begin", "book for good"]);
        }
    }
    rt.shutdown().await;
});

on_every_backend!(what_was_being_undone_when_the_run_was_stopped_is_undone_once, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = drops(&rt, &log, TripEnd::Arrives, Dropping::Slowly).await;
    // Whatever it is doing just then.
    eventually("the booking", async || effects(&log).contains(&"book 2".into()).then_some(())).await;
    run.cancel("enough").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Cancelled).then_some(())).await;
    assert_eq!(effects(&log), ["book 1", "begin 2", "book 2", "give back 2 late seat 2", "give back 1 seat 1"]);
    rt.shutdown().await;
});
