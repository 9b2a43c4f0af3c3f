//! Child runs: one for each call, whatever crashes, and their results in the parent.

use std::time::Duration;

use forge_wf::{Error, Status};
use forge_wf_tests::waiting::*;
use forge_wf_tests::workflows::Job;
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::quick;

/// How many runs of this workflow there are.
async fn runs(database: &Database, workflow: &str) -> usize {
    let all = database.texts("SELECT workflow FROM forge_wf_runs", "SELECT workflow FROM forge_wf.runs").await;
    all.iter().filter(|found| *found == workflow).count()
}

/// The workflows whose runs have a cancel in their inbox.
async fn asked_to_end(database: &Database) -> Vec<String> {
    database
        .texts(
            "SELECT run.workflow FROM forge_wf_inbox AS mail JOIN forge_wf_runs AS run ON run.id = mail.run_id WHERE mail.kind = 2",
            "SELECT run.workflow FROM forge_wf.inbox AS mail JOIN forge_wf.runs AS run ON run.id = mail.run_id WHERE mail.kind = 2",
        )
        .await
}

on_every_backend!(a_child_returns_its_result_to_its_parent, |database| {
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.start(parent, Job::of(1)).await.unwrap().result().await.unwrap(), 3);
    assert_eq!((runs(database, "parent").await, runs(database, "child").await), (1, 1));
    assert_eq!(rt.start(factorial, 8).await.unwrap().result().await.unwrap(), 40_320, "a workflow may call itself");
    rt.shutdown().await;
});

on_every_backend!(a_failed_child_is_a_typed_error_that_keeps_its_code, |database| {
    let rt = quick(database).build().await.unwrap();
    let error = rt.start(parent_of_failing, "no_stock".into()).await.unwrap().result().await.unwrap_err();
    let Error::RunFailed { failure, .. } = error else { panic!("{error}") };
    assert_eq!((failure.code(), failure.message()), (Some("no_stock"), "the child gave up"));
    assert!(failure.is_permanent());
    rt.shutdown().await;
});

on_every_backend!(an_input_that_cannot_be_journaled_makes_no_child, |database| {
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.start(parent_of_nan, ()).await.unwrap().result().await.unwrap(), "arguments_unusable");
    assert_eq!(runs(database, "naps_by_number").await, 0);
    rt.shutdown().await;
});

on_every_backend!(two_thousand_children_of_one_parent_finish, |database| {
    let rt = quick(database).build().await.unwrap();
    let sum = rt.start(parent_of_many, 2_000).await.unwrap().result().await.unwrap();
    assert_eq!(sum, (1..=2_000).sum::<u64>());
    assert_eq!(runs(database, "child").await, 2_000);
    rt.shutdown().await;
});

on_every_backend!(parents_finish_with_one_slot, |database| {
    let rt = quick(database).concurrency(1).build().await.unwrap();
    let starts = (0..200).map(|n| rt.start(parent, Job::of(n)).into_future());
    let runs = futures::future::join_all(starts).await;
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 2);
    }
    rt.shutdown().await;
});

on_every_backend!(a_detached_child_outlives_its_parent, |database| {
    let rt = quick(database).build().await.unwrap();
    let child = rt.start(parent_of_detached, ()).await.unwrap().result().await.unwrap();
    let run = rt.run::<String>(child.run_id()).await.unwrap();
    eventually("the child waiting", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.send_event(child, Approved { by: "Ada".into() }).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Ada");
    assert!(asked_to_end(database).await.is_empty());
    rt.shutdown().await;
});

on_every_backend!(a_child_that_is_dropped_or_left_open_is_asked_to_end, |database| {
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.start(parent_that_drops, ()).await.unwrap().result().await.unwrap(), 2);
    eventually("a cancel for each", async || {
        (asked_to_end(database).await == ["waiting_child", "waiting_child"]).then_some(())
    })
    .await;
    rt.shutdown().await;
});

on_every_backend!(parents_and_children_find_each_other_over_restarts, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let parents = futures::future::join_all((0..20).map(|n| rt.start(parent, Job::of(n)).into_future())).await;
    let ids: Vec<_> = parents.into_iter().map(|run| run.unwrap().id()).collect();
    rt.shutdown().await;
    let rt = quick(database).build().await.unwrap();
    for (n, id) in (0..).zip(ids) {
        assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), n + 2);
    }
    assert_eq!(runs(database, "child").await, 20);
    rt.shutdown().await;
});
