//! What a caller that waits for a result hears, and when.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunHandle, Status};
use forge_wf_tests::proxy::{Proxy, free_port};
use forge_wf_tests::waiting::*;
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

on_every_backend!(a_result_is_waited_for_while_the_database_is_away, |database| {
    // PostgreSQL is away for those who reach it by this port, SQLite for all who look for its file.
    let port = free_port().await;
    let (mut way, url, file) = if database.is_sqlite() {
        let url = database.url().to_owned();
        let file = std::path::PathBuf::from(url.strip_prefix("sqlite:").expect("a file"));
        (None, url, Some(file))
    } else {
        let way = Proxy::at(database.url(), port).await;
        let url = way.url().to_owned();
        (Some(way), url, None)
    };
    let rt = quick(database).database(&url).build().await.unwrap();
    let client = Client::connect(&url).await.unwrap();
    let of_runtime = rt.start(approvals, 1).await.unwrap();
    let run: RunHandle<Vec<String>> = client.run(of_runtime.id()).await.unwrap();

    let log = Log::of_this_thread();
    let said = || log.lines(&["the database does not answer; the result of this run", &run.id().to_string()]).len();
    let outage = async {
        match &file {
            Some(file) => std::fs::rename(file, file.with_extension("away")).unwrap(),
            None => way = None,
        }
        eventually("both waits of the client in the log", async || (said() >= 2).then_some(())).await;
        assert!(run.status().await.is_err(), "a question has its answer at once");
        match &file {
            Some(file) => std::fs::rename(file.with_extension("away"), file).unwrap(),
            None => way = Some(Proxy::at(database.url(), port).await),
        }
        let approved = || client.send_event(run.id(), Approved { by: "ada".into() });
        eventually("the event sent", async || approved().id("once").await.ok()).await;
    };
    let (result, or_blocked, in_process, ()) =
        tokio::join!(run.result(), run.result().or_blocked(), of_runtime.result(), outage);
    for result in [result, or_blocked, in_process] {
        assert_eq!(result.unwrap().len(), 1);
    }
    assert!(said() <= 3, "one line for each wait: {}", said());
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_result_that_is_waited_for_at_a_shutdown_says_so, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let of_runtime = rt.start(approvals, 1).await.unwrap();
    let run: RunHandle<Vec<String>> = client.run(of_runtime.id()).await.unwrap();
    let (result, ()) = tokio::join!(run.result(), client.close());
    let error = result.unwrap_err();
    assert!(matches!(error, Error::ShutDown { run: of } if of == run.id()), "{error}");
    assert!(error.to_string().contains("its client closed"), "{error}");
    let error = run.status().await.unwrap_err();
    assert!(error.to_string().contains("the connections are closed"), "{error}");
    let (result, ()) = tokio::join!(of_runtime.result(), rt.shutdown());
    let error = result.unwrap_err();
    assert!(matches!(error, Error::ShutDown { run: of } if of == run.id()), "{error}");
});
