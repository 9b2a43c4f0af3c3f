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

/// What became of a run.
struct Life {
    killed: bool,
    journal: Vec<String>,
    effects: Vec<String>,
}

/// One run that is killed once, or not at all, and goes on to its end.
async fn life(on_sqlite: bool, workflow: &str, point: Option<(&str, u64)>) -> Life {
    let database = if on_sqlite { Database::sqlite() } else { Database::postgres().await };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let killed = !lives(&database, workflow, &log, point).await;
    if killed {
        assert!(lives(&database, workflow, &log, None).await, "{workflow} after {point:?}");
    }
    let effects = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    Life { killed, journal: journal(&database).await, effects }
}

/// Kills it before and after each of its commits, of which there are between these two numbers; each life passes the check.
async fn every_commit(
    on_sqlite: bool,
    workflow: &str,
    commits: std::ops::Range<usize>,
    check: impl Fn(&Life, (&str, u64)),
) {
    for variable in ["FORGE_WF_CRASH_BEFORE", "FORGE_WF_CRASH_AFTER"] {
        let lives = (1..=commits.end as u64).map(|number| {
            let point = (variable, number);
            async move { (life(on_sqlite, workflow, Some(point)).await, point) }
        });
        let mut lives = futures::stream::iter(lives).buffered(AT_ONCE);
        let mut last = 0;
        while let Some((life, point)) = lives.next().await {
            check(&life, point);
            // It ends with those that are not reached any more.
            last = if life.killed { point.1 as usize } else { last };
        }
        assert!(commits.contains(&last), "{workflow}, {variable}: the last commit at which it was killed is {last}");
    }
}

/// As [`every_commit`]; each of them has the journal of one that was not killed, which undoes these.
async fn every_commit_leaves_one_journal(
    on_sqlite: bool,
    workflow: &str,
    commits: std::ops::Range<usize>,
    undos: &[&str],
) {
    let undisturbed = life(on_sqlite, workflow, None).await.journal;
    let undone = undisturbed.iter().filter_map(|entry| entry.split(' ').nth(1)?.strip_prefix("undo:"));
    assert_eq!(undone.collect::<Vec<_>>(), undos);
    let check = |life: &Life, point: (&str, u64)| {
        assert_eq!(life.journal, undisturbed, "{workflow}, {point:?}: each undo is recorded once");
        for undone in life.effects.iter().filter(|line| line.starts_with("give back ") || line.starts_with("recall ")) {
            let times = life.effects.iter().filter(|line| *line == undone).count();
            // Once more only if it was killed between the undo and its record.
            assert!(times <= if life.killed { 2 } else { 1 }, "{workflow}, {point:?}: {undone}: {:#?}", life.effects);
        }
    };
    every_commit(on_sqlite, workflow, commits, check).await;
}

on_every_backend!(a_rollback_killed_at_any_commit_is_finished, |database| {
    let undos = ["step:book#4", "step:book#3", "step:book#2", "step:book#1", "step:book#0"];
    every_commit_leaves_one_journal(database.is_sqlite(), "trip", 12..32, &undos).await;
});

on_every_backend!(a_saga_killed_at_any_commit_is_finished, |database| {
    let undos = ["step:book#2", "step:book#3", "step:book#1", "step:book#4", "step:book#0"];
    every_commit_leaves_one_journal(database.is_sqlite(), "divided_trip", 12..40, &undos).await;
});

on_every_backend!(children_whose_parent_is_killed_at_any_commit_are_undone_once, |database| {
    let undos =
        ["child:dispatch_loudly#0", "child:dispatch_labelled#0", "step:book#1", "child:dispatch#0", "step:book#0"];
    every_commit_leaves_one_journal(database.is_sqlite(), "deliver", 12..48, &undos).await;
});

on_every_backend!(what_a_body_drops_is_undone_wherever_its_process_is_killed, |database| {
    let check = |life: &Life, point: (&str, u64)| {
        // How it was dropped depends on when it was killed; that it is undone does not.
        let last = |begin: &str| life.effects.iter().rposition(|line| line.starts_with(begin));
        for leg in 1..=3 {
            let (booked, given_back) = (last(&format!("book {leg}")), last(&format!("give back {leg} ")));
            assert!(booked <= given_back, "{point:?}: leg {leg}: {:#?}", life.effects);
        }
        let left = |entry: &&String| {
            entry.contains(" step:book") && entry.contains(" undone ") && !entry.ends_with(" undone 2")
        };
        assert_eq!(life.journal.iter().find(left), None, "{point:?}: {:#?}", life.journal);
    };
    // Neighbouring transitions may share a commit, as it happens.
    every_commit(database.is_sqlite(), "fickle_trip", 6..36, check).await;
});
