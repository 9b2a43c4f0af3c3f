//! Durable timers: due once, at a time that never moves.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, Status};
use forge_wf_tests::waiting::*;
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::quick;

fn naps_of(times: u64, millis: u64) -> Naps {
    Naps { times, millis, log: String::new() }
}

/// The due times of the sleeps that have begun, in microseconds, in order.
async fn dues(database: &Database) -> Vec<i64> {
    let rows = database
        .texts(
            "SELECT due_at || '' FROM forge_wf_journal WHERE key = 'sleep' ORDER BY n",
            "SELECT (extract(epoch FROM due_at) * 1000000)::int8::text FROM forge_wf.journal WHERE key = 'sleep' ORDER BY n",
        )
        .await;
    rows.iter().map(|due| due.parse().unwrap()).collect()
}

on_every_backend!(every_sleep_sleeps_and_the_second_as_long_as_the_first, |database| {
    let rt = quick(database).build().await.unwrap();
    let times = rt.start(naps, naps_of(4, 120)).await.unwrap().result().await.unwrap();
    assert_eq!(times.len(), 5);
    for pair in times.windows(2) {
        let slept = (pair[1] - pair[0]).to_std().unwrap();
        assert!(slept >= Duration::from_millis(120), "{slept:?} by the run's own times");
    }
    rt.shutdown().await;
});

on_every_backend!(a_due_time_does_not_move_when_its_worker_is_replaced, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(naps, naps_of(1, 1_500)).await.unwrap();
    let id = run.id();
    eventually("the run asleep", async || (run.status().await.unwrap() == Status::Sleeping).then_some(())).await;
    let before = dues(database).await;
    drop(run);
    rt.shutdown().await;

    let rt = quick(database).build().await.unwrap();
    let times = rt.run::<Vec<forge_wf::Timestamp>>(id).await.unwrap().result().await.unwrap();
    assert_eq!(dues(database).await, before, "one timer, due when it always was");
    assert!(times[1].timestamp_micros() >= before[0]);
    rt.shutdown().await;
});

on_every_backend!(sleeps_may_stand_wherever_a_call_may, |database| {
    let rt = quick(database).build().await.unwrap();
    let said = rt.start(naps_everywhere, ()).await.unwrap().result().await.unwrap();
    assert_eq!(said, "sleep step");
    rt.shutdown().await;
});

on_every_backend!(a_wait_without_end_is_refused_by_name, |database| {
    let rt = quick(database).build().await.unwrap();
    let codes = rt.start(naps_for_ever, ()).await.unwrap().result().await.unwrap();
    assert_eq!(codes, ["time_out_of_range"; 6]);
    rt.shutdown().await;
});

on_every_backend!(a_number_that_is_no_duration_fails_the_run_in_words, |database| {
    let rt = quick(database).build().await.unwrap();
    for wrong in [-1.0, -0.000_001, 1e300] {
        let error = rt.start(naps_by_number, wrong).await.unwrap().result().await.unwrap_err();
        let Error::RunFailed { failure, .. } = error else { panic!("{error}") };
        assert_eq!(failure.code(), Some("time_out_of_range"), "{failure}");
    }
    let error = rt.start(naps_by_number, f64::NAN).await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
    rt.start(naps_by_number, 0.001).await.unwrap().result().await.unwrap();
    rt.shutdown().await;
});

on_every_backend!(a_timeout_bounds_calls_of_every_kind, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(bounded, ()).await.unwrap();
    let seen = run.result().await.unwrap();
    assert_eq!(seen[0], "true timed_out");
    assert_eq!(seen[1], "step:slow_and_typed had no outcome within its timeout of 40ms");
    assert_eq!(seen[2], "true event:approved had no outcome within its timeout of 40ms");
    assert_eq!(seen[3], "child:sleeps_for_days had no outcome within its timeout of 40ms");
    assert_eq!(seen[4], "2");
    let timers = database
        .texts(
            "SELECT n || ' ' || state FROM forge_wf_journal WHERE key = 'timeout' AND seq IS NOT NULL ORDER BY n",
            "SELECT n || ' ' || state FROM forge_wf.journal WHERE key = 'timeout' AND seq IS NOT NULL ORDER BY n",
        )
        .await;
    assert_eq!(timers, ["0 1", "1 1", "2 1", "3 1"], "exactly one of call and timer has an outcome");
    rt.shutdown().await;
});

on_every_backend!(a_thousand_sleepers_wake, |database| {
    let rt = quick(database).park_for(Duration::from_millis(100)).build().await.unwrap();
    let starts = (0..1_000).map(|n| rt.start(naps, naps_of(1, 700 + n % 100)).into_future());
    for run in futures::future::join_all(starts).await {
        run.unwrap().result().await.unwrap();
    }
    rt.shutdown().await;
});

on_every_backend!(a_client_need_not_be_there_when_a_run_wakes, |database| {
    let rt = quick(database).park_for(Duration::from_millis(10)).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start(naps, naps_of(2, 300)).await.unwrap();
    assert_eq!(run.result().await.unwrap().len(), 3);
    client.close().await;
    rt.shutdown().await;
});
