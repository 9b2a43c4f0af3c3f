//! A rolling deploy with real processes: versions side by side, and runs whose version nobody has.

use std::process::Stdio;

use forge_wf::prelude::*;
use forge_wf::{Error, Filter, RunHandle, Status};
use forge_wf_tests::{Database, eventually, on_every_backend};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const RUNS: u64 = 500;

pub type Done = (u64, Vec<String>);

/// A worker process that is ready.
pub async fn worker(program: &str, database: &Database) -> Child {
    let mut command = Command::new(program);
    let mut child = command.arg(database.url()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a worker");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    child
}

/// Stops a worker as a deploy does, and waits for its end.
pub async fn stop(mut worker: Child) {
    let id = worker.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(worker.wait().await.unwrap().success());
}

pub async fn count(client: &Client, status: Status) -> usize {
    let mut filter = Filter::new().workflow("rolling").status(status).page_size(1_000);
    let mut runs = 0;
    loop {
        let page = client.list(&filter).await.unwrap();
        runs += page.runs.len();
        let Some(next) = page.next else { return runs };
        filter = filter.from(next);
    }
}

async fn start(client: &Client, count: u64) -> Vec<RunHandle<serde_json::Value>> {
    let starts = (0..count).map(|n| client.start_by_name("rolling", serde_json::json!(n)).into_future());
    futures::future::try_join_all(starts).await.unwrap()
}

/// As many runs, all of which wait.
pub async fn start_waiting(client: &Client, runs: u64) -> Vec<RunHandle<serde_json::Value>> {
    let started = start(client, runs).await;
    let waiting = async || (count(client, Status::Waiting).await as u64 == runs).then_some(());
    eventually("all of them waiting", waiting).await;
    started
}

pub async fn go(client: &Client, runs: &[RunHandle<serde_json::Value>]) {
    let sent = runs.iter().map(|run| client.send_event_named(run.id(), "go", serde_json::Value::Null).into_future());
    futures::future::try_join_all(sent).await.unwrap();
}

/// What came of these runs, which all were of this version from their start to their end.
pub async fn ended_as(client: &Client, runs: &[RunHandle<serde_json::Value>], version: &str) {
    for run in runs {
        let result: Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
        assert!(result.1.iter().all(|line| line.starts_with(version)), "{}: {result:?}", run.id());
        assert_eq!(client.show(run.id()).await.unwrap().version.as_deref(), Some(version));
    }
}

on_every_backend!(a_rolling_deploy_fails_no_run_and_runs_none_on_the_wrong_code, |database| {
    const FIRST: &str = env!("CARGO_BIN_EXE_rolling_first");
    const BOTH: &str = env!("CARGO_BIN_EXE_rolling_both");
    const SECOND: &str = env!("CARGO_BIN_EXE_rolling_second");
    let mut workers = vec![worker(FIRST, database).await, worker(FIRST, database).await];
    let client = Client::connect(database.url()).await.unwrap();
    let old = start(&client, RUNS).await;
    eventually("all of them waiting", async || (count(&client, Status::Waiting).await == 500).then_some(())).await;

    // One after the other is replaced; meanwhile a fleet of both serves all runs.
    for place in 0..2 {
        let next = worker(BOTH, database).await;
        stop(std::mem::replace(&mut workers[place], next)).await;
        go(&client, &old[place * 100..][..100]).await;
        ended_as(&client, &old[place * 100..][..100], "1").await;
    }
    let new = start(&client, 20).await;
    let asked = client.start_by_name("rolling", serde_json::json!(0)).version("1").await.unwrap_err();
    let Error::VersionDeprecated { active, .. } = &asked else { panic!("{asked}") };
    assert_eq!(active.as_deref(), Some("2"), "{asked}");

    // Then version 1 is gone, though 300 of its runs are not.
    for place in &mut workers {
        let next = worker(SECOND, database).await;
        stop(std::mem::replace(place, next)).await;
    }
    go(&client, &old[200..]).await;
    go(&client, &new).await;
    ended_as(&client, &new, "2").await;
    eventually("their status", async || (count(&client, Status::BlockedMissingVersion).await == 300).then_some(()))
        .await;
    let why = client.show(old[200].id()).await.unwrap().why;
    assert_eq!(why, "no live worker has workflow rolling version 1: start one that has it");
    assert_eq!(count(&client, Status::Failed).await + count(&client, Status::Running).await, 0);

    // One that has it comes back, and nobody has to do anything.
    workers.push(worker(BOTH, database).await);
    ended_as(&client, &old[200..], "1").await;
    assert_eq!(count(&client, Status::Completed).await, 520);
    for worker in workers {
        stop(worker).await;
    }
    client.close().await;
});

/// What a build says of the runs in flight, and whether it says that all of them fit.
pub async fn preflight(program: &str, database: &Database, unreadable: bool) -> (bool, String) {
    let mut command = Command::new(program);
    command.arg(database.url()).arg("preflight");
    if unreadable {
        command.env("FORGE_WF_TEST_UNREADABLE", "1");
    }
    let output = command.output().await.expect("a preflight");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

on_every_backend!(a_preflight_says_before_a_deploy_which_runs_do_not_fit, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let runs = start_waiting(&client, 20).await;
    stop(first).await;
    let before = database
        .texts("SELECT count(*) || '' FROM forge_wf_journal", "SELECT count(*)::text FROM forge_wf.journal")
        .await;

    for fitting in [env!("CARGO_BIN_EXE_rolling_first"), env!("CARGO_BIN_EXE_rolling_both")] {
        assert_eq!(preflight(fitting, database, false).await, (true, "rolling 1: 20 runs fit, 0 do not\n".into()));
    }
    let (fits, found) = preflight(env!("CARGO_BIN_EXE_rolling_second"), database, false).await;
    assert!(!fits && found.starts_with("rolling 1: 0 runs fit, 20 do not\n"), "{found}");
    assert_eq!(found.matches("needs a version that this build does not have").count(), 20, "{found}");
    let (fits, found) = preflight(env!("CARGO_BIN_EXE_rolling_broken"), database, false).await;
    assert!(!fits && found.contains(&format!("run {} of rolling 1: diverges: ", runs[0].id())), "{found}");
    assert!(found.contains("event:go#0 as begun") && found.contains("step:note#1"), "{found}");
    let (fits, found) = preflight(env!("CARGO_BIN_EXE_rolling_first"), database, true).await;
    assert!(!fits && found.contains("cannot be decoded") && found.contains("step:note#0"), "{found}");
    assert!(found.contains("no such text"), "{found}");

    database
        .texts(
            "UPDATE forge_wf_runs SET definition = x'00000000000000000000000000000001' WHERE id = (SELECT max(id) FROM forge_wf_runs) RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000001' WHERE id = (SELECT id FROM forge_wf.runs ORDER BY id DESC LIMIT 1) RETURNING workflow",
        )
        .await;
    let (fits, found) = preflight(env!("CARGO_BIN_EXE_rolling_first"), database, false).await;
    assert!(!fits && found.starts_with("rolling 1: 19 runs fit, 1 do not\n"), "{found}");
    assert!(found.contains("was started with signature 00000000") && found.contains("fits all the same"), "{found}");
    let after = database
        .texts("SELECT count(*) || '' FROM forge_wf_journal", "SELECT count(*)::text FROM forge_wf.journal")
        .await;
    assert_eq!(before, after, "it writes nothing");
    client.close().await;
});
