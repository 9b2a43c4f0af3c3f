//! Bad input gets a clear error and loses nothing.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, Filter, RunRef, Status};
use forge_wf_tests::Database;
use forge_wf_tests::on_every_backend;
use forge_wf_tests::workflows::*;
use serde_json::{Value, json};

use crate::quick;

on_every_backend!(odd_values_come_back_equal, |database| {
    let rt = quick(database).build().await.unwrap();
    let values = [
        json!(1e308),
        json!(-0.0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("NUL \u{0} inside, a quote \" and \u{1F980}"),
        json!({ "": null, "deep": [[[[{ "a": [] }]]]], "\u{0}": "\u{0}" }),
        json!("x".repeat(1 << 20)),
    ];
    for value in values {
        let run = rt.start(echoes, value.clone()).await.unwrap();
        assert_eq!(run.result().await.unwrap(), value);
    }
    rt.shutdown().await;
});

on_every_backend!(an_input_that_cannot_be_journaled_starts_nothing, |database| {
    let rt = quick(database).build().await.unwrap();
    let mut deep = Value::Null;
    (0..2_000).for_each(|_| deep = Value::Array(vec![deep.take()]));
    let error = rt.start(echoes, deep).await.unwrap_err();
    assert!(matches!(&error, Error::InvalidInput { workflow, .. } if workflow == "echoes"), "{error}");
    assert!(error.to_string().contains("nested"), "{error}");
    let error = rt.start(echoes, json!("x".repeat(5 << 20))).await.unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
    let rows = database.texts("SELECT workflow FROM forge_wf_runs", "SELECT workflow FROM forge_wf.runs").await;
    assert!(rows.is_empty());
    rt.shutdown().await;
});

on_every_backend!(a_result_that_cannot_be_journaled_is_a_failure_the_body_sees, |database| {
    let rt = quick(database).build().await.unwrap();
    for kind in ["deep", "large"] {
        let said = rt.start(asks_for_unusable, kind.into()).await.unwrap().result().await.unwrap();
        assert!(said.starts_with("result_unusable: step:unusable"), "{said}");
    }
    let said = rt.start(passes_nan, ()).await.unwrap().result().await.unwrap();
    assert!(said.starts_with("arguments_unusable: ") && said.contains("`value`"), "{said}");
    rt.shutdown().await;
});

on_every_backend!(json_that_does_not_fit_the_input_fails_the_run_by_name, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start_by_name("three", json!({ "n": "many" })).await.unwrap();
    let error = run.result().await.unwrap_err();
    let Error::RunFailed { run: id, failure, .. } = &error else { panic!("{error}") };
    assert_eq!((*id, failure.code()), (run.id(), Some("input_unusable")));
    assert!(serde_json::from_str::<Value>(r#""\ud800""#).is_err(), "a lone surrogate never becomes a value");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_unknown_workflow_name_is_refused, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let error = client.start_by_name("chekout", json!(null)).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownWorkflow { known, .. } if known.contains(&"three".to_owned())), "{error}");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(names_and_keys_are_checked, |database| {
    let rt = quick(database).build().await.unwrap();
    for key in ["", "a\0b", &"k".repeat(2_000)] {
        let error = rt.start(three, Job::of(1)).key(key).await.unwrap_err();
        assert!(matches!(error, Error::InvalidName(_)), "{error}");
    }
    let client = Client::connect(database.url()).await.unwrap();
    assert!(matches!(client.start_by_name("a\0b", json!(null)).await.unwrap_err(), Error::InvalidName(_)));
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_run_nobody_started_is_not_found, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    let id = forge_wf::RunId::new();
    assert!(matches!(client.run::<u64>(id).await.unwrap_err(), Error::NoSuchRun { run } if run == id));
    client.close().await;
});

on_every_backend!(a_run_no_worker_can_serve_says_so, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    // No worker lives, so the name cannot be checked.
    let run = client.start_by_name("not deployed yet", json!(null)).await.unwrap();
    let rt = quick(database).unserved_grace(Duration::ZERO).build().await.unwrap();
    let seen = rt.run::<Value>(run.id()).await.unwrap();
    assert_eq!(seen.status().await.unwrap(), Status::BlockedMissingHandler);
    let error = seen.result().or_blocked().await.unwrap_err();
    assert!(matches!(error, Error::RunBlocked { status: Status::BlockedMissingHandler, .. }), "{error}");
    let words: Vec<_> = rt.unserved().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(words, ["1 run of not deployed yet waits for a worker that has this workflow; no live worker does"]);
    client.close().await;
    rt.shutdown().await;
});

async fn refused(url: &str) -> String {
    match Runtime::builder().database(url).build().await {
        Ok(_) => panic!("{url} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_what_to_do() {
    assert!(refused("mysql://localhost/db").await.contains("postgres://"));
    assert!(refused("").await.contains("empty"));
    assert!(refused("sqlite:/no/such/folder/runs.db").await.contains("/no/such/folder"));
    let unreachable = refused("postgres://nobody:hidden@127.0.0.1:1/nowhere").await;
    assert!(unreachable.contains("127.0.0.1") && !unreachable.contains("hidden"), "{unreachable}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let database = Database::sqlite();
    let wrong = [
        quick(&database).concurrency(0),
        quick(&database).lease(Duration::from_millis(1)),
        quick(&database).payload_limit(1),
        quick(&database).state(1_u8).state(2_u8),
    ];
    for builder in wrong {
        let error = builder.build().await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{error}");
    }
}

on_every_backend!(a_name_with_a_nul_is_refused_wherever_it_is_looked_for, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let run = rt.start(three, Job::of(1)).key("k").await.unwrap();
    run.result().await.unwrap();
    let nul = "a\0b";
    let mut refused = vec![
        rt.run_by_key(three, nul).await.map(drop),
        client.run_by_key(three, nul).await.map(drop),
        client.cancel(RunRef::key(three, nul), "why").await,
        client.cancel(RunRef::named_key(nul, "k"), "why").await,
        client.cancel(&run, nul).await,
        client.cancel(&run, "why").by(nul).await,
        client.skip_undo(&run, nul, "why").await,
        client.send_event_named(RunRef::named_key("three", nul), "approved", json!(1)).await.map(drop),
        client.send_event_named(&run, nul, json!(1)).await.map(drop),
        run.state::<u64>(nul).await.map(drop),
        rt.start(three, Job::of(1)).key(nul).await.map(drop),
    ];
    let all = Filter::new;
    for filter in [
        all().workflow(nul),
        all().version(nul),
        all().key(nul),
        all().owner(nul),
        all().tag(nul, "v"),
        all().tag("t", nul),
    ] {
        refused.push(client.list(&filter).await.map(drop));
        refused.push(client.cancel_all(filter, 1, "why").await.map(drop));
    }
    for (place, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(Error::InvalidName(_))), "{place}: {refused:?}");
    }
    rt.shutdown().await;
});
