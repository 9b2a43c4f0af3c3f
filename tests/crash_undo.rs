//! Real processes, killed while they undo: everything is undone, in order, and recorded once.

use std::process::Stdio;

use forge_wf_tests::{Database, on_every_backend};
use futures::StreamExt;
use tokio::process::Command;

/// How many of these lives go on beside each other: most of each is waiting for a lease to end.
const AT_ONCE: usize = 8;

/// Runs the trip to its end in a process that is killed at this point, or not; whether it got to the end by itself.
async fn lives(database: &Database, log: &str, point: Option<(&str, u64)>) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg(database.url()).args(["trip", "1", log]).stdout(Stdio::null()).kill_on_drop(true);
    // Two of the undos fail twice before they succeed.
    command.env("FORGE_WF_TEST_UNDO_FAILS", "2,4");
    if let Some((variable, number)) = point {
        command.env(variable, format!("commit:{number}"));
    }
    command.status().await.expect("the worker's end").success()
}

on_every_backend!(a_run_that_kills_its_workers_is_given_up_and_undone, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let mut deaths = 0;
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg(database.url()).args(["doomed", "20", &log]).stdout(Stdio::null()).kill_on_drop(true);
        if command.status().await.expect("the worker's end").success() {
            break;
        }
        deaths += 1;
        assert!(deaths < 10, "it is never given up");
    }
    let effects = std::fs::read_to_string(&log).unwrap();
    let booms = effects.lines().filter(|line| *line == "boom").count();
    assert_eq!(booms, 3, "three workers in a row, where two are allowed:\n{effects}");
    assert!(effects.ends_with("give back 1 seat 1\n"), "{effects}");
    let states = database.texts("SELECT state || '' FROM forge_wf_runs", "SELECT state || '' FROM forge_wf.runs").await;
    assert_eq!(states.iter().filter(|state| *state == "10").count(), 20, "no innocent run was given up: {states:?}");
});

/// One trip that is killed once; whether it was.
async fn is_killed_at(on_sqlite: bool, variable: &'static str, number: u64) -> bool {
    let database = if on_sqlite { Database::sqlite() } else { Database::postgres().await.unwrap() };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let killed = !lives(&database, &log, Some((variable, number))).await;
    if killed {
        assert!(lives(&database, &log, None).await, "after {variable}={number}");
    }
    let journal = database
        .texts(
            "SELECT key || '#' || n || ' ' || state || coalesce(' undone ' || undo_state, '') FROM forge_wf_journal ORDER BY seq",
            "SELECT key || '#' || n || ' ' || state || coalesce(' undone ' || undo_state, '') FROM forge_wf.journal ORDER BY seq",
        )
        .await;
    let booked = (0..5).map(|n| format!("step:book#{n} 1 undone 2"));
    let undone = (0..5).rev().map(|n| format!("undo:step:book#{n} 1"));
    let expected: Vec<_> = ["start#0 1".to_owned()]
        .into_iter()
        .chain(booked)
        .chain(["step:overbooked#0 2".to_owned(), "unwind#0 2".to_owned()])
        .chain(undone)
        .chain(["end#0 2".to_owned()])
        .collect();
    assert_eq!(journal, expected, "{variable}={number}: each undo is recorded once, newest first");
    let effects = std::fs::read_to_string(&log).unwrap();
    for leg in 1..=5 {
        let times = effects.lines().filter(|line| line.starts_with(&format!("give back {leg} "))).count();
        // Once more only if it was killed between the undo and its record.
        assert!((1..=if killed { 2 } else { 1 }).contains(&times), "{variable}={number}: leg {leg}\n{effects}");
    }
    killed
}

async fn every_commit(on_sqlite: bool) {
    for variable in ["FORGE_WF_CRASH_BEFORE", "FORGE_WF_CRASH_AFTER"] {
        // Twenty commits, about: it ends with those that are not reached any more.
        let killed: Vec<_> = futures::stream::iter(1..=32)
            .map(|number| is_killed_at(on_sqlite, variable, number))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let last = killed.iter().rposition(|killed| *killed).map_or(0, |place| place + 1);
        assert!((12..32).contains(&last), "{variable}: it was killed at {last} commits: {killed:?}");
    }
}

on_every_backend!(a_rollback_killed_at_any_commit_is_finished, |database| {
    every_commit(database.is_sqlite()).await;
});
