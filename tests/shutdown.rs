//! A shutdown lets running steps finish, releases the rest and returns.

use std::time::{Duration, Instant};

use forge_wf::Status;
use forge_wf_tests::proxy::Proxy;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::{GATE, quick};

on_every_backend!(a_running_step_finishes_and_its_run_goes_on_elsewhere, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let rt = quick(database).build().await.unwrap();
    let runs =
        futures::future::join_all((0..50).map(|n| rt.start(ten, Job { log: log.clone(), n }).into_future())).await;
    let ids: Vec<_> = runs.into_iter().map(|run| run.unwrap().id()).collect();
    rt.shutdown().await;
    let owners = database
        .texts(
            "SELECT 'owned' FROM forge_wf_runs WHERE worker_id IS NOT NULL",
            "SELECT 'owned' FROM forge_wf.runs WHERE worker_id IS NOT NULL",
        )
        .await;
    assert!(owners.is_empty(), "every run was released or had ended");

    let rt = quick(database).build().await.unwrap();
    for (n, id) in (0..).zip(ids) {
        assert_eq!(rt.run::<u64>(id).await.unwrap().result().await.unwrap(), n + 10);
    }
    rt.shutdown().await;
    let effects = std::fs::read_to_string(log).unwrap();
    assert_eq!(effects.lines().count(), 500, "every step ran once");
});

on_every_backend!(a_step_that_outlives_the_grace_time_is_aborted_and_its_run_released, |database| {
    let rt = quick(database).shutdown_grace(Duration::from_millis(50)).build().await.unwrap();
    let run = rt.start(endless, ()).await.unwrap();
    eventually("the run executing", async || (run.status().await.unwrap() == Status::Running).then_some(())).await;
    rt.shutdown().await;
    rt.shutdown().await;
    let states = database
        .texts(
            "SELECT state || '' FROM forge_wf_runs WHERE worker_id IS NULL",
            "SELECT state || '' FROM forge_wf.runs WHERE worker_id IS NULL",
        )
        .await;
    assert_eq!(states, ["0"], "ready for any worker");
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn what_a_draining_worker_gives_back_is_taken_before_it_has_ended() {
    let database = Database::postgres().await;
    let _gate = GATE.lock().await;
    open_gate(false);
    let hour = Duration::from_secs(3_600);
    let only_hinted = || quick(&database).poll_interval(hour);
    let (first, second) =
        (only_hinted().shutdown_grace(hour).build().await.unwrap(), only_hinted().build().await.unwrap());
    let held_up = first.start(gated, Job::of(0)).await.unwrap();
    let runs = futures::future::join_all((0..50).map(|n| first.start(ten, Job::of(n)).into_future())).await;
    let elsewhere = async {
        for (n, run) in (0..).zip(runs) {
            let run = second.run::<u64>(run.unwrap().id()).await.unwrap();
            let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("a worker for it");
            assert_eq!(result.unwrap(), n + 10);
        }
        open_gate(true);
    };
    tokio::join!(first.shutdown(), elsewhere);
    assert_eq!(second.run::<u64>(held_up.id()).await.unwrap().result().await.unwrap(), 2);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_shutdown_beside_a_frozen_server_ends_within_the_grace_time_and_five_seconds() {
    let database = Database::postgres().await;
    let grace = Duration::from_millis(500);
    let proxy = Proxy::to(database.url()).await;
    let rt = quick(&database)
        .database(proxy.url())
        .lease(Duration::from_secs(60))
        .shutdown_grace(grace)
        .build()
        .await
        .unwrap();
    let run = rt.start(endless, ()).await.unwrap();
    eventually("the run executing", async || (run.status().await.unwrap() == Status::Running).then_some(())).await;
    proxy.freeze();
    // Something to write, whose caller gives up.
    let start = rt.start(ten, Job::of(1)).into_future();
    assert!(tokio::time::timeout(Duration::from_millis(100), start).await.is_err(), "nothing answers");
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(60), rt.shutdown()).await.expect("it ends");
    let took = begun.elapsed();
    // The rest is for a slow machine.
    assert!(took < grace + Duration::from_secs(5) + Duration::from_secs(3), "{took:?}");
}
