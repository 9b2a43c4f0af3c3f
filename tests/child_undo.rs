//! Children that have completed and are undone by their parents.

use std::path::Path;

use forge_wf::{Error, Status};
use forge_wf_tests::family::*;
use forge_wf_tests::undoing::{Trip, TripEnd};
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::quick;

fn effects(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn plan(log: &Path, legs: u64, end: TripEnd) -> Trip {
    Trip { log: log.display().to_string(), legs, end }
}

/// The states of the runs of this workflow.
async fn states(database: &Database, workflow: &str) -> Vec<String> {
    let all = database
        .texts(
            "SELECT workflow || ' ' || state FROM forge_wf_runs",
            "SELECT workflow || ' ' || state FROM forge_wf.runs",
        )
        .await;
    all.into_iter().filter_map(|row| row.strip_prefix(workflow)?.strip_prefix(' ').map(str::to_owned)).collect()
}

on_every_backend!(completed_children_are_undone_with_the_steps_newest_first, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(deliver, plan(&log, 0, TripEnd::Fails)).await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
    let done = ["book 1", "send 2", "book 3", "send 4", "send 5", "overbooked"];
    let undone = ["recall 5 as LABEL 5", "recall 4 as label 4", "give back 3 seat 3", "recall 2", "give back 1 seat 1"];
    assert_eq!(effects(&log), [&done[..], &undone].concat());
    let details = run.show().await.unwrap();
    let child = details.entries.iter().find(|entry| entry.call == "child:dispatch_labelled#0").unwrap();
    assert_eq!((child.compensation.as_deref(), child.undo), (Some("step:recall_as"), Some("done")));
    assert!(details.entries.iter().any(|entry| entry.call == "undo:child:dispatch_labelled#0"));
    assert_eq!(states(database, "dispatch_labelled").await, ["10"], "the child itself has completed, and stays so");

    let log = folder.path().join("good");
    rt.start(deliver, plan(&log, 0, TripEnd::Arrives)).await.unwrap().result().await.unwrap();
    assert_eq!(effects(&log), done[..5], "a good end undoes nothing");
    rt.shutdown().await;
});

on_every_backend!(a_saga_undoes_the_children_it_called, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    for end in [TripEnd::Arrives, TripEnd::Fails] {
        let log = folder.path().join(format!("{end:?}"));
        let run = rt.start(deliver_in_part, plan(&log, 0, end)).await.unwrap();
        let ended = run.result().await;
        let part = ["send 1", "send 2", "book 3", "send 4", "overbooked"];
        let undone = ["recall 4 as LABEL 4", "give back 3 seat 3", "recall 2"];
        let rest: &[&str] = if end == TripEnd::Fails { &["overbooked", "recall 1"] } else { &[] };
        assert_eq!(effects(&log), [&part[..], &undone, rest].concat());
        assert_eq!(ended.is_err(), end == TripEnd::Fails);
    }
    rt.shutdown().await;
});

on_every_backend!(a_child_that_was_too_late_and_had_done_its_work_is_undone, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    for end in [TripEnd::Fails, TripEnd::Arrives] {
        let log = folder.path().join(format!("{end:?}"));
        let run = rt.start(deliver_in_time, plan(&log, 1_500, end)).await.unwrap();
        let due = eventually("the wait for the child", async || {
            let details = run.show().await.unwrap();
            details.entries.iter().filter(|entry| entry.kind == "sleep").find_map(|entry| entry.due_at)
        })
        .await;
        rt.client().pause(&run, "not to hear of the child in time").await.unwrap();
        eventually("the pause", async || (run.status().await.unwrap() == Status::Paused).then_some(())).await;
        eventually("the end of the wait", async || (chrono::Utc::now() > due).then_some(())).await;
        let ids = database
            .texts(
                "SELECT lower(hex(id)) FROM forge_wf_runs WHERE workflow = 'dispatch_when_told' ORDER BY id DESC",
                "SELECT id::text FROM forge_wf.runs WHERE workflow = 'dispatch_when_told' ORDER BY id DESC",
            )
            .await;
        let child: forge_wf::RunId = ids[0].parse().unwrap();
        rt.send_event(child, Approved { by: "the late one".into() }).await.unwrap();
        let child = rt.run::<Parcel>(child).await.unwrap();
        assert_eq!(child.result().await.unwrap().n, 2);
        rt.client().resume(&run, "now it is too late").await.unwrap();
        eventually("the end", async || run.status().await.unwrap().is_ended().then_some(())).await;
        let older: &[&str] = if end == TripEnd::Fails { &["give back 1 seat 1"] } else { &[] };
        // It is undone beside the body, which may fail meanwhile.
        let seen: Vec<_> = effects(&log).into_iter().filter(|line| line != "overbooked").collect();
        assert_eq!(seen, [&["book 1", "send 2", "recall 2"], older].concat());
    }
    rt.shutdown().await;
});

on_every_backend!(a_child_that_nobody_knows_how_to_undo_is_left_to_an_operator, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(deliver_unreadably, plan(&log, 0, TripEnd::Fails)).await.unwrap();
    let error = run.result().await.unwrap_err();
    let Error::RunBlocked { status: Status::BlockedCompensation, message, .. } = error else { panic!("{error}") };
    assert!(message.contains("child:dispatch_unreadably#0") && message.contains("could not be found out"), "{message}");
    rt.client().mark_undone(&run, "child:dispatch_unreadably#0", "called back by hand").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Compensated).then_some(())).await;
    assert_eq!(effects(&log), ["send 1", "send 2", "overbooked", "recall 1"], "what a child has undone is its own");
    rt.shutdown().await;
});

on_every_backend!(a_dropped_child_that_may_have_to_be_undone_keeps_its_generation, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(deliver_anew, plan(&log, 0, TripEnd::Arrives)).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "work_in_flight");
    assert_eq!(states(database, "dispatch_when_told").await, ["13"], "cancelled");
    rt.shutdown().await;
});
