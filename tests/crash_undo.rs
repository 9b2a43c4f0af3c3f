//! Real processes, killed while they undo: everything is undone, in order, and recorded once.

use std::process::Stdio;

use forge_wf_tests::{Database, on_every_backend};
use futures::StreamExt;
use tokio::process::Command;

/// How many of these lives go on beside each other: most of each is waiting for a lease to end.
const AT_ONCE: usize = 8;

/// Runs a workflow to its end in a process that is killed at this point, or not; whether it got to the end by itself.
async fn lives(database: &Database, workflow: &str, log: &str, point: Option<(&str, u64)>) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg(database.url()).args([workflow, "1", log]).stdout(Stdio::null()).kill_on_drop(true);
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

/// How the runs of one database ended, by their journals: what was called in which order, and what came of it and of its undoing.
async fn journal(database: &Database) -> Vec<String> {
    database
        .texts(
            "SELECT run.workflow || ' ' || entry.key || '#' || n || ' ' || entry.state || coalesce(' undone ' || undo_state, '') FROM forge_wf_journal AS entry JOIN forge_wf_runs AS run ON run.id = entry.run_id ORDER BY run.workflow, seq",
            "SELECT run.workflow || ' ' || entry.key || '#' || n || ' ' || entry.state || coalesce(' undone ' || undo_state, '') FROM forge_wf.journal AS entry JOIN forge_wf.runs AS run ON run.id = entry.run_id ORDER BY run.workflow COLLATE \"C\", seq",
        )
        .await
}

async fn fresh(on_sqlite: bool) -> Database {
    if on_sqlite { Database::sqlite() } else { Database::postgres().await.unwrap() }
}

/// One run that is killed once and ends as if it had not been; whether it was killed.
async fn is_killed_at(on_sqlite: bool, workflow: &str, undisturbed: &[String], variable: &str, number: u64) -> bool {
    let database = fresh(on_sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let killed = !lives(&database, workflow, &log, Some((variable, number))).await;
    if killed {
        assert!(lives(&database, workflow, &log, None).await, "{workflow} after {variable}={number}");
    }
    assert_eq!(journal(&database).await, undisturbed, "{workflow}, {variable}={number}: each undo is recorded once");
    let effects = std::fs::read_to_string(&log).unwrap();
    for undone in effects.lines().filter(|line| line.starts_with("give back ") || line.starts_with("recall ")) {
        let times = effects.lines().filter(|line| *line == undone).count();
        // Once more only if it was killed between the undo and its record.
        assert!(times <= if killed { 2 } else { 1 }, "{workflow}, {variable}={number}: {undone}\n{effects}");
    }
    killed
}

/// Kills it before and after each of its commits, of which there are between these two numbers.
async fn every_commit(on_sqlite: bool, workflow: &str, commits: std::ops::Range<usize>, undos: &[&str]) {
    let database = fresh(on_sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    assert!(lives(&database, workflow, &log, None).await);
    let undisturbed = journal(&database).await;
    let undone = undisturbed.iter().filter_map(|entry| entry.split(' ').nth(1)?.strip_prefix("undo:"));
    assert_eq!(undone.collect::<Vec<_>>(), undos);
    for variable in ["FORGE_WF_CRASH_BEFORE", "FORGE_WF_CRASH_AFTER"] {
        let killed: Vec<_> = futures::stream::iter(1..=commits.end as u64)
            .map(|number| is_killed_at(on_sqlite, workflow, &undisturbed, variable, number))
            .buffered(AT_ONCE)
            .collect()
            .await;
        // It ends with those that are not reached any more.
        let last = killed.iter().rposition(|killed| *killed).map_or(0, |place| place + 1);
        assert!(commits.contains(&last), "{workflow}, {variable}: it was killed at {last} commits: {killed:?}");
    }
}

on_every_backend!(a_rollback_killed_at_any_commit_is_finished, |database| {
    let undos = ["step:book#4", "step:book#3", "step:book#2", "step:book#1", "step:book#0"];
    every_commit(database.is_sqlite(), "trip", 12..32, &undos).await;
});

on_every_backend!(a_saga_killed_at_any_commit_is_finished, |database| {
    let undos = ["step:book#2", "step:book#3", "step:book#1", "step:book#4", "step:book#0"];
    every_commit(database.is_sqlite(), "divided_trip", 12..40, &undos).await;
});

on_every_backend!(children_whose_parent_is_killed_at_any_commit_are_undone_once, |database| {
    let undos =
        ["child:dispatch_loudly#0", "child:dispatch_labelled#0", "step:book#1", "child:dispatch#0", "step:book#0"];
    every_commit(database.is_sqlite(), "deliver", 12..48, &undos).await;
});
