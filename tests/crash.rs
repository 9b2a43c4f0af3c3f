//! Real processes, killed: started runs reach their end, and journaled steps never run again.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use forge_wf_tests::{Database, eventually, on_every_backend};
use tokio::process::{Child, Command};

fn worker(database: &Database, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg(database.url()).args(args).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn finishes(child: Child) -> bool {
    child.wait_with_output().await.expect("the worker's output").status.success()
}

/// Lines of the effect log so far: process, call, attempt.
fn effects(log: &Path) -> Vec<(u32, String)> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// How many step entries have an outcome.
async fn journaled(database: &Database) -> Vec<String> {
    database
        .texts(
            "SELECT lower(hex(run_id)) || '/' || generation || '/' || key || '#' || n FROM forge_wf_journal WHERE key LIKE 'step:%' AND seq IS NOT NULL",
            "SELECT replace(run_id::text, '-', '') || '/' || generation || '/' || key || '#' || n FROM forge_wf.journal WHERE key LIKE 'step:%' AND seq IS NOT NULL",
        )
        .await
}

/// Calls in the log, written as [`journaled`] writes them.
fn call(effect: &str) -> String {
    let (run, rest) = effect.split_once('/').unwrap_or_default();
    format!("{}/{rest}", run.replace('-', ""))
}

on_every_backend!(a_crash_before_or_after_any_commit_loses_nothing, |database| {
    for variable in ["FORGE_WF_CRASH_AFTER", "FORGE_WF_CRASH_BEFORE"] {
        for number in 1..=3 {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("effects");
            let fresh = if database.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
            let log_text = log.display().to_string();
            let args = ["start", "1", log_text.as_str()];
            let crashed = worker(&fresh, &args).env(variable, format!("add:{number}")).spawn().unwrap();
            assert!(!finishes(crashed).await, "{variable}={number} kills the worker");
            let before: Vec<_> = journaled(&fresh).await;
            let expected = if variable.ends_with("AFTER") { number } else { number - 1 };
            assert_eq!(before.len(), expected, "{variable}={number}");
            let first = effects(&log).first().expect("an effect of the first process").0;
            assert!(finishes(worker(&fresh, &args).spawn().unwrap()).await, "the second process finishes the run");
            for (pid, effect) in effects(&log).into_iter().filter(|(pid, _)| *pid != first) {
                assert!(!before.contains(&call(&effect)), "{effect} was journaled and ran again in {pid}");
            }
            assert_eq!(journaled(&fresh).await.len(), 3);
        }
    }
});

on_every_backend!(a_crash_at_any_moment_of_a_wait_loses_nothing_and_makes_nothing_twice, |database| {
    let waits = ["sleep", "child:child", "timeout"].map(|key| format!("started:{key}"));
    let outcomes = ["add", "sleep", "child:child", "event:counted-again", "end"].map(String::from);
    let keys: Vec<_> = waits.into_iter().chain(outcomes).collect();
    for variable in ["FORGE_WF_CRASH_AFTER", "FORGE_WF_CRASH_BEFORE"] {
        for key in &keys {
            // Of each generation one.
            for number in 1..=2 {
                let folder = tempfile::tempdir().unwrap();
                let log = folder.path().join("effects");
                let fresh = if database.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
                let log_text = log.display().to_string();
                let args = ["everything", "1", log_text.as_str()];
                let point = format!("{key}:{number}");
                let crashed = worker(&fresh, &args).env(variable, &point).spawn().unwrap();
                assert!(!finishes(crashed).await, "{variable}={point} kills the worker");
                let before = journaled(&fresh).await;
                let first = effects(&log).first().expect("an effect of the first process").0;
                assert!(finishes(worker(&fresh, &args).spawn().unwrap()).await, "after {variable}={point}");
                for (_, effect) in effects(&log).into_iter().filter(|(pid, _)| *pid != first) {
                    assert!(
                        !before.contains(&call(&effect)),
                        "{variable}={point}: {effect} was journaled and ran again"
                    );
                }
                let runs = fresh
                    .texts(
                        "SELECT workflow FROM forge_wf_runs ORDER BY workflow",
                        "SELECT workflow FROM forge_wf.runs ORDER BY workflow",
                    )
                    .await;
                assert_eq!(runs, ["child", "child", "everything"], "{variable}={point}: one child for each call");
            }
        }
    }
});

on_every_backend!(kill_9_of_waiting_runs_is_survived, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects");
    let log_text = log.display().to_string();
    let args = ["everything", "40", log_text.as_str()];
    let mut seen: HashMap<String, usize> = HashMap::new();
    for round in 1..=4 {
        let mut victim = worker(database, &args).spawn().unwrap();
        let pid = victim.id().expect("a running worker");
        eventually("steps of this worker", async || {
            let own = effects(&log).iter().filter(|(other, _)| *other == pid).count();
            (own >= round * 13 || victim.try_wait().unwrap().is_some()).then_some(())
        })
        .await;
        victim.kill().await.unwrap();
        for (_, effect) in effects(&log).iter().filter(|(other, _)| *other == pid) {
            assert!(!seen.contains_key(&call(effect)), "{effect} was journaled and ran again in round {round}");
        }
        seen.extend(journaled(database).await.into_iter().map(|call| (call, round)));
    }
    assert!(finishes(worker(database, &args).spawn().unwrap()).await, "the last process finishes every run");
    let runs = database.texts("SELECT workflow FROM forge_wf_runs", "SELECT workflow FROM forge_wf.runs").await;
    assert_eq!(runs.iter().filter(|workflow| *workflow == "child").count(), 80, "one child for each call");
});

on_every_backend!(kill_9_at_any_moment_is_survived, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects");
    let log_text = log.display().to_string();
    let args = ["ten", "30", log_text.as_str()];
    let mut seen: HashMap<String, u32> = HashMap::new();
    for round in 1..=4 {
        let mut victim = worker(database, &args).spawn().unwrap();
        let pid = victim.id().expect("a running worker");
        // Killed after some steps of its own, at a different moment each round.
        let enough = round * 17;
        eventually("steps of this worker", async || {
            let own = effects(&log).iter().filter(|(other, _)| *other == pid).count();
            (own >= enough || victim.try_wait().unwrap().is_some()).then_some(())
        })
        .await;
        victim.kill().await.unwrap();
        let journaled = journaled(database).await;
        for (_, effect) in effects(&log).iter().filter(|(other, _)| *other == pid) {
            assert!(!seen.contains_key(&call(effect)), "{effect} was journaled and ran again in round {round}");
        }
        seen.extend(journaled.into_iter().map(|call| (call, round as u32)));
    }
    assert!(finishes(worker(database, &args).spawn().unwrap()).await, "the last process finishes every run");
    assert_eq!(journaled(database).await.len(), 300);
});
