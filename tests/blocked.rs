//! A bug in a workflow body blocks its run, and a new build tries it again.

use forge_wf::{Error, Status};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};
use tokio::sync::Mutex;

use crate::quick;

/// These tests mend and break the workflows of the whole process, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

macro_rules! blocks_and_recovers {
    ($name:ident, $workflow:ident, $status:ident, $words:expr) => {
        on_every_backend!($name, |database| {
            let _turn = TURN.lock().await;
            behave(false);
            let rt = quick(database).build_id("old").build().await.unwrap();
            let run = rt.start($workflow, Job::of(6)).await.unwrap();
            let id = run.id();
            let error = run.result().await.unwrap_err();
            let Error::RunBlocked { status, message, .. } = error else { panic!("{error}") };
            assert_eq!(status, Status::$status);
            assert!(message.contains($words) && message.contains("step:add#0"), "{message}");
            assert_eq!(run.status().await.unwrap(), Status::$status);
            drop(run);
            rt.shutdown().await;

            let same = quick(database).build_id("old").build().await.unwrap();
            assert_eq!(
                same.run::<u64>(id).await.unwrap().status().await.unwrap(),
                Status::$status,
                "same build, same bug"
            );
            same.shutdown().await;

            behave(true);
            let mended = quick(database).build_id("new").build().await.unwrap();
            assert_eq!(mended.run::<u64>(id).await.unwrap().result().await.unwrap(), 7);
            mended.shutdown().await;
        });
    };
}

blocks_and_recovers!(a_body_that_panics_is_blocked, body_panics, BlockedPanic, "the body fell over");
blocks_and_recovers!(a_body_that_awaits_a_timer_is_blocked, awaits_foreign, BlockedForeignAwait, "not durable");

on_every_backend!(code_that_does_not_fit_the_journal_is_blocked_before_any_effect, |database| {
    let _turn = TURN.lock().await;
    let _gate = crate::GATE.lock().await;
    behave(true);
    open_gate(false);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let quickly = || quick(database).shutdown_grace(std::time::Duration::from_millis(50));
    let rt = quickly().build_id("old").build().await.unwrap();
    let run = rt.start(diverges, Job { log: log.clone(), n: 6 }).await.unwrap();
    let id = run.id();
    eventually("the first step", async || (run.counts().run_now == 1).then_some(())).await;
    drop(run);
    rt.shutdown().await;

    behave(false);
    let rt = quickly().build_id("broken").build().await.unwrap();
    let run = rt.run::<u64>(id).await.unwrap();
    let error = run.result().await.unwrap_err();
    let Error::RunBlocked { status, message, .. } = error else { panic!("{error}") };
    assert_eq!(status, Status::BlockedDivergence);
    assert!(
        message.contains("entry 1") && message.contains("step:add#0") && message.contains("other arguments"),
        "{message}"
    );
    drop(run);
    rt.shutdown().await;
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1, "no effect of the code that does not fit");

    behave(true);
    open_gate(true);
    let rt = quickly().build_id("mended").build().await.unwrap();
    assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), 7);
    rt.shutdown().await;
});
