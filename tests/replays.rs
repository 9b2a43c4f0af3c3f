//! Ended runs replay to what they ended with, or it is said where they do not.

use std::sync::atomic::{AtomicU64, Ordering};

use forge_wf::testing::replays_equal;
use forge_wf_tests::family::{deliver, deliver_in_part};
use forge_wf_tests::on_every_backend;
use forge_wf_tests::undoing::{Trip, TripEnd, partial_trip, trip};
use forge_wf_tests::waiting::naps_everywhere;
use forge_wf_tests::workflows::add;

use crate::quick;

static POLLS: AtomicU64 = AtomicU64::new(0);

/// Returns something else whenever it is run.
#[forge_wf::workflow]
async fn forgetful(ctx: &forge_wf::WorkflowContext, log: String) -> forge_wf::Result<u64> {
    add(ctx, &log, 1).await?;
    Ok(POLLS.fetch_add(1, Ordering::SeqCst))
}

on_every_backend!(ended_runs_replay_to_what_they_ended_with, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let plan = |name: &str, end| Trip { log: folder.path().join(name).display().to_string(), legs: 3, end };
    let mut runs = vec![rt.start(naps_everywhere, ()).await.unwrap().id()];
    for end in [TripEnd::Arrives, TripEnd::Fails] {
        let name = format!("{end:?}");
        runs.push(rt.start(trip, plan(&name, end)).await.unwrap().id());
        runs.push(rt.start(partial_trip, plan(&name, end)).await.unwrap().id());
        runs.push(rt.start(deliver, plan(&name, end)).await.unwrap().id());
        runs.push(rt.start(deliver_in_part, plan(&name, end)).await.unwrap().id());
    }
    for run in runs {
        let _ = rt.run::<serde_json::Value>(run).await.unwrap().result().await;
        replays_equal(&client, run).await.unwrap();
    }
    let asleep = rt.start(trip, plan("asleep", TripEnd::Waits)).await.unwrap();
    let sentence = replays_equal(&client, asleep.id()).await.unwrap_err();
    assert!(sentence.ends_with("has not ended"), "{sentence}");
    asleep.cancel("enough").await.unwrap();
    let _ = asleep.result().await;
    replays_equal(&client, asleep.id()).await.unwrap();
    let forgetful = rt.start(forgetful, folder.path().join("log").display().to_string()).await.unwrap();
    forgetful.result().await.unwrap();
    let sentence = replays_equal(&client, forgetful.id()).await.unwrap_err();
    assert!(sentence.contains("and replays to"), "{sentence}");
    rt.shutdown().await;
});
