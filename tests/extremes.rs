//! Durations nobody can live to see the end of, and calls dropped at odd moments: none of them may stick a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forge_wf::Status;
use forge_wf::prelude::*;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

/// Fails, and asks for a wait without end.
#[step(retry(max = 2))]
async fn asks_for_for_ever() -> Result<()> {
    Err(Failure::new("for ever").with_retry_after(Duration::MAX))
}

/// Waits as long as its step asks for.
#[workflow]
async fn waits_for_ever(ctx: &WorkflowContext) -> Result<()> {
    asks_for_for_ever(ctx).await
}

/// Has a backoff without end.
#[workflow]
async fn backs_off_for_ever(ctx: &WorkflowContext) -> Result<()> {
    let longest = Retry { jitter: f64::NAN, ..Retry::new(2).backoff(Duration::MAX, Duration::MAX) };
    panicking(ctx).attempt_timeout(Duration::MAX).retry(longest).await
}

on_every_backend!(a_wait_without_end_is_a_long_sleep, |database| {
    let rt = quick(database).build().await.unwrap();
    for run in [rt.start(waits_for_ever, ()).await.unwrap(), rt.start(backs_off_for_ever, ()).await.unwrap()] {
        eventually("the run asleep", async || (run.status().await.unwrap() == Status::Sleeping).then_some(())).await;
    }
    rt.shutdown().await;
});

on_every_backend!(settings_without_end_are_settings, |database| {
    let rt = quick(database)
        .shutdown_grace(Duration::MAX)
        .park_for(Duration::MAX)
        .unserved_grace(Duration::MAX)
        .lease(Duration::MAX)
        .build()
        .await
        .unwrap();
    let run = rt.start(three, Job::of(1)).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 4);
    let later = rt.start(three, Job::of(1)).delay(Duration::MAX).await.unwrap();
    assert!(!later.status().await.unwrap().is_ended());
    rt.shutdown().await;
});

static OPEN: AtomicBool = AtomicBool::new(false);

/// Returns once the door is open.
#[step]
async fn door() -> Result<()> {
    while !OPEN.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Drops a step that has only just begun, and one that runs.
#[workflow]
async fn drops_steps(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    tokio::select! {
        biased;
        _ = slow(ctx) => {}
        () = std::future::ready(()) => {}
    }
    let first = tokio::select! {
        biased;
        value = slow(ctx) => value?,
        value = add(ctx, &job.log, job.n) => value?,
    };
    door(ctx).await?;
    add(ctx, &job.log, first).await
}

on_every_backend!(a_dropped_step_is_dropped_again_by_replay, |database| {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    OPEN.store(false, Ordering::SeqCst);
    let rt = quick(database).shutdown_grace(Duration::from_millis(50)).build().await.unwrap();
    let run = rt.start(drops_steps, Job::of(1)).await.unwrap();
    let id = run.id();
    eventually("its first step", async || (run.counts().run_now == 1).then_some(())).await;
    drop(run);
    rt.shutdown().await;

    OPEN.store(true, Ordering::SeqCst);
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), 3);
    rt.shutdown().await;
});

on_every_backend!(a_run_that_has_begun_stays_with_its_definition, |database| {
    let rt = quick(database).shutdown_grace(Duration::from_millis(50)).build().await.unwrap();
    rt.start(endless, ()).await.unwrap();
    eventually("its step shown as started", async || {
        let rows = database
            .texts(
                "SELECT key FROM forge_wf_journal WHERE key = 'step:slow'",
                "SELECT key FROM forge_wf.journal WHERE key = 'step:slow'",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    rt.shutdown().await;
    let bound = database
        .texts(
            "SELECT 'bound' FROM forge_wf_runs WHERE worker_id IS NULL AND definition IS NOT NULL",
            "SELECT 'bound' FROM forge_wf.runs WHERE worker_id IS NULL AND definition IS NOT NULL",
        )
        .await;
    assert_eq!(bound.len(), 1, "code with other steps must not take up what this code has begun");
});
