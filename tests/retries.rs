//! Failed attempts: recorded, repeated, bounded.

use std::time::Duration;

use forge_wf::Status;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

on_every_backend!(a_failing_step_is_tried_again_and_its_attempts_are_recorded, |database| {
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.start(persistent, Job::of(0)).await.unwrap().result().await.unwrap(), 3);
    let rows = database
        .texts(
            "SELECT key || ' ' || attempts || ' ' || state FROM forge_wf_journal WHERE key = 'step:flaky'",
            "SELECT key || ' ' || attempts || ' ' || state FROM forge_wf.journal WHERE key = 'step:flaky'",
        )
        .await;
    assert_eq!(rows, ["step:flaky 3 1"]);
    rt.shutdown().await;
});

on_every_backend!(a_step_that_never_returns_is_cut_by_its_timeout, |database| {
    let rt = quick(database).build().await.unwrap();
    let error = rt.start(impatient, ()).await.unwrap().result().await.unwrap_err();
    let forge_wf::Error::RunFailed { failure, status, .. } = error else { panic!("{error}") };
    assert_eq!(status, Status::Failed);
    assert_eq!(failure.kind(), forge_wf::FailureKind::TimedOut);
    assert!(failure.message().contains("step:slow#0") && failure.message().contains("attempt 2"), "{failure}");
    rt.shutdown().await;
});

on_every_backend!(a_panicking_step_is_a_failed_attempt, |database| {
    let rt = quick(database).build().await.unwrap();
    let error = rt.start(calls_panicking, ()).await.unwrap().result().await.unwrap_err();
    let forge_wf::Error::RunFailed { failure, .. } = error else { panic!("{error}") };
    assert_eq!(failure.kind(), forge_wf::FailureKind::Panicked);
    assert!(failure.message().contains("the step fell over"), "{failure}");
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4, "the worker lives on");
    rt.shutdown().await;
});

on_every_backend!(a_run_that_waits_long_leaves_memory_and_comes_back, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let rt = quick(database).park_for(Duration::from_millis(10)).build().await.unwrap();
    let run = rt.start(parks, Job { log: log.clone(), n: 0 }).await.unwrap();
    eventually("the run asleep and owned by nobody", async || {
        let rows = database
            .texts(
                "SELECT 'free' FROM forge_wf_runs WHERE state = 2 AND worker_id IS NULL",
                "SELECT 'free' FROM forge_wf.runs WHERE state = 2 AND worker_id IS NULL",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    assert_eq!(run.status().await.unwrap(), Status::Sleeping);
    assert_eq!(run.result().await.unwrap(), 2);
    let effects = std::fs::read_to_string(log).unwrap();
    assert_eq!(effects.lines().count(), 2, "one effect for each attempt:\n{effects}");
    rt.shutdown().await;
});
