//! Starting, waiting, keys, results, state of the journal.

use forge_wf::Client;
use forge_wf::Status;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

on_every_backend!(a_run_returns_what_its_workflow_returns, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(three, Job::of(4)).await.unwrap();
    assert!(run.created());
    assert_eq!(run.result().await.unwrap(), 7);
    assert_eq!(run.result().await.unwrap(), 7, "it may be asked again");
    assert_eq!(run.status().await.unwrap(), Status::Completed);
    assert_eq!((run.counts().from_journal, run.counts().run_now), (0, 3));
    rt.shutdown().await;
});

on_every_backend!(the_expansion_really_journals, |database| {
    let rt = quick(database).build().await.unwrap();
    rt.start(three, Job::of(4)).await.unwrap().result().await.unwrap();
    let rows = database
        .texts(
            "SELECT key || '#' || n || ' ' || coalesce(seq, -1) || ' ' || output FROM forge_wf_journal ORDER BY seq",
            "SELECT key || '#' || n || ' ' || coalesce(seq, -1) || ' ' || output FROM forge_wf.journal ORDER BY seq",
        )
        .await;
    let expected = [r#"start#0 0 {"log":"","n":4}"#, "step:add#0 1 5", "step:add#1 2 6", "step:add#2 3 7", "end#0 4 7"];
    assert_eq!(rows, expected);
    rt.shutdown().await;
});

on_every_backend!(the_same_key_gives_the_same_run, |database| {
    let rt = quick(database).build().await.unwrap();
    let first = rt.start(three, Job::of(1)).key("order-17").await.unwrap();
    let second = rt.start(three, Job::of(2)).key("order-17").await.unwrap();
    assert_eq!(first.id(), second.id());
    assert!(first.created() && !second.created());
    assert_eq!(second.result().await.unwrap(), 4, "the first input counts");
    let found = rt.run_by_key(three, "order-17").await.unwrap().expect("the key is held");
    assert_eq!(found.id(), first.id());
    assert!(rt.run_by_key(three, "order-18").await.unwrap().is_none());
    assert!(rt.start(three, Job::of(2)).key("order-17").await.is_ok_and(|run| !run.created()), "also after its end");
    rt.shutdown().await;
});

on_every_backend!(every_combinator_completes, |database| {
    let rt = quick(database).build().await.unwrap();
    let runs = futures::future::join_all((0..20).map(|n| rt.start(combinators, Job::of(n)).into_future())).await;
    for run in runs {
        run.unwrap().result().await.unwrap();
    }
    rt.shutdown().await;
});

on_every_backend!(more_runs_than_slots_all_complete, |database| {
    let rt = quick(database).concurrency(2).build().await.unwrap();
    let runs = futures::future::join_all((0..100).map(|n| rt.start(three, Job::of(n)).into_future())).await;
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 3);
    }
    rt.shutdown().await;
});

on_every_backend!(a_client_starts_and_waits_from_outside, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let typed = client.start(three, Job::of(1)).await.unwrap();
    let named = client.start_by_name("three", serde_json::json!({ "log": "", "n": 2 })).key("by-name").await.unwrap();
    let versioned = client.start_by_name("three", serde_json::json!({ "log": "", "n": 3 })).version("1").await.unwrap();
    assert_eq!(typed.result().await.unwrap(), 4);
    assert_eq!(named.result().await.unwrap(), serde_json::json!(5));
    assert_eq!(versioned.result().await.unwrap(), serde_json::json!(6));
    let found = client.run_by_key(three, "by-name").await.unwrap().expect("the key is held");
    assert_eq!(found.id(), named.id());
    let again = client.run::<u64>(typed.id()).await.unwrap();
    assert_eq!(again.result().await.unwrap(), 4);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_typed_error_is_read_by_the_body, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(branches_on_error, Job::of(41)).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 42);
    rt.shutdown().await;
});

on_every_backend!(a_delayed_run_waits_and_a_due_one_goes_first, |database| {
    let rt = quick(database).build().await.unwrap();
    let late = rt.start(three, Job::of(1)).delay(std::time::Duration::from_millis(300)).await.unwrap();
    assert!(!late.status().await.unwrap().is_ended());
    let soon = rt.start(three, Job::of(2)).await.unwrap();
    assert_eq!(soon.result().await.unwrap(), 5);
    assert_eq!(late.result().await.unwrap(), 4);
    rt.shutdown().await;
});

on_every_backend!(a_long_running_step_is_shown_to_people, |database| {
    let rt = quick(database).shutdown_grace(std::time::Duration::from_millis(50)).build().await.unwrap();
    let run = rt.start(endless, ()).await.unwrap();
    eventually("the started entry", async || {
        let rows = database
            .texts(
                "SELECT key FROM forge_wf_journal WHERE state = 0 AND seq IS NULL",
                "SELECT key FROM forge_wf.journal WHERE state = 0 AND seq IS NULL",
            )
            .await;
        (rows == ["step:slow"]).then_some(())
    })
    .await;
    assert_eq!(run.status().await.unwrap(), Status::Running);
    rt.shutdown().await;
});
