//! What a caller that waits for a result hears, and when.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, Status};
use forge_wf_tests::{Log, eventually, on_every_backend};
use serde_json::{Value, json};

use crate::quick;
use crate::rolling::{Done, stop, worker};

on_every_backend!(a_result_is_waited_for_until_a_worker_serves_the_run, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    // No worker lives, so the name is not checked.
    let id = client.start_by_name("rolling", json!(7)).await.unwrap().id();
    let rt = quick(database).unserved_grace(Duration::ZERO).build().await.unwrap();
    let run = rt.run::<Value>(id).await.unwrap();
    let error = run.result().or_blocked().await.unwrap_err();
    assert!(matches!(error, Error::RunBlocked { status: Status::BlockedMissingHandler, .. }), "{error}");

    let log = Log::of_this_thread();
    let said = || log.lines(&["no live worker serves this run", "blocked_missing_handler", &id.to_string()]);
    let deploys = async {
        eventually("the begin of the wait in the log", async || (!said().is_empty()).then_some(())).await;
        let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
        client.send_event_named(id, "go", Value::Null).await.unwrap();
        first
    };
    let (result, first) = tokio::join!(run.result(), deploys);
    let (n, notes): Done = serde_json::from_value(result.unwrap()).unwrap();
    assert_eq!((n, notes.len()), (7, 2));
    assert_eq!(said().len(), 1, "one line for one wait");
    stop(first).await;
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_result_that_is_no_longer_awaited_may_be_asked_for_again, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start_by_name("rolling", json!(7)).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), run.result()).await;
    assert!(early.is_err(), "nothing serves it: {early:?}");
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    client.send_event_named(run.id(), "go", Value::Null).await.unwrap();
    let results = futures::future::join_all([run.result(), run.result().or_blocked()]).await;
    for result in results {
        let (n, _): Done = serde_json::from_value(result.unwrap()).unwrap();
        assert_eq!(n, 7);
    }
    stop(first).await;
    client.close().await;
});
