//! Runs that begin anew: a retry of an ended run as its next generation, and forks.

use forge_wf::{Error, Status};
use forge_wf_tests::on_every_backend;
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::sleeps_for_days;
use tokio::sync::Mutex;

use crate::quick;

/// These tests mend and break the workflows of the whole process, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// The idempotency keys of the steps that ran, without the run.
fn ran(log: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let key = |line: &str| line.split(' ').nth(1).unwrap().split_once('/').unwrap().1.to_owned();
    text.lines().map(key).collect()
}

on_every_backend!(a_failed_run_begins_anew_with_or_without_what_it_had_completed, |database| {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    for keep in [false, true] {
        mend(false);
        let log = folder.path().join(keep.to_string()).display().to_string();
        let run = rt.start(mended, (log.clone(), false)).key(log.clone()).await.unwrap();
        let error = run.result().await.unwrap_err();
        assert!(matches!(error, Error::RunFailed { status: Status::Failed, .. }), "{error}");
        mend(true);
        let retry = client.retry(&run, "it is mended").by("ada");
        if keep { retry.keep_completed() } else { retry }.await.unwrap();
        run.result().await.unwrap();
        let again = if keep { &[][..] } else { &["1/step:add#0", "1/step:add#1"] };
        assert_eq!(ran(&log), [&["0/step:add#0", "0/step:add#1"], again].concat(), "a new generation is a new call");
        let details = run.show().await.unwrap();
        assert_eq!((details.generation, details.status), (1, Status::Completed));
        assert_eq!(details.key.as_deref(), Some(&*log), "under the same key");
        let audit = client.audit(run.id()).await.unwrap();
        assert_eq!((audit.len(), &*audit[0].who, &*audit[0].action), (1, "ada", "retry"));
        let error = client.retry(&run, "once more").await.unwrap_err();
        assert!(matches!(error, Error::RunEnded { status: Status::Completed, .. }), "{error}");
    }
    rt.shutdown().await;
});

on_every_backend!(a_compensated_run_keeps_what_was_not_undone_and_undoes_what_it_does_anew, |database| {
    let _turn = TURN.lock().await;
    mend(false);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(mended, (log.clone(), true)).await.unwrap();
    for _ in 0..2 {
        let error = run.result().await.unwrap_err();
        assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
        rt.client().retry(&run, "perhaps now").keep_completed().await.unwrap();
    }
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
    assert_eq!(ran(&log).len(), 2, "what stands before the undone booking is kept");
    let trips = std::fs::read_to_string(format!("{log}.trip")).unwrap();
    assert_eq!(trips.lines().collect::<Vec<_>>(), ["book 1", "give back 1 seat 1"].repeat(3));
    rt.shutdown().await;
});

on_every_backend!(a_fork_takes_the_same_path_up_to_an_entry_and_undoes_nothing_of_it, |database| {
    let _turn = TURN.lock().await;
    mend(true);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(mended, (log.clone(), true)).key("original").await.unwrap();
    let uuid = run.result().await.unwrap();
    let fork = rt.client().fork(run.id(), 1, "what if").by("ada").await.unwrap();
    assert_eq!(fork.result().await.unwrap(), serde_json::json!(uuid), "the same seed");
    assert_eq!(ran(&log), ["0/step:add#0", "0/step:add#1", "0/step:add#1"], "the first step came from the journal");
    assert_eq!(fork.show().await.unwrap().key, None, "the key stays with the original");
    // The fork that fails undoes only what it did itself.
    mend(false);
    let fork = rt.client().fork(run.id(), 3, "what if not").by("ada").await.unwrap();
    let error = fork.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Failed, .. }), "{error}");
    assert_eq!(rt.run::<uuid::Uuid>(run.id()).await.unwrap().status().await.unwrap(), Status::Completed);
    let trips = std::fs::read_to_string(format!("{log}.trip")).unwrap();
    assert!(!trips.contains("give back"), "{trips}");
    let strange = forge_wf::RunId::new();
    let error = rt.client().fork(strange, 3, "who").by("ada").await.unwrap_err();
    assert!(matches!(error, Error::NoSuchRun { run } if run == strange), "{error}");
    rt.shutdown().await;
});

on_every_backend!(a_fork_takes_over_what_an_ended_original_had_to_undo, |database| {
    let _turn = TURN.lock().await;
    mend(true);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let trips = || {
        let text = std::fs::read_to_string(format!("{log}.trip")).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let undo_of = async |run| {
        let entries = client.show(run).await.unwrap().entries;
        entries.into_iter().find(|entry| entry.call == "step:book#0").unwrap().undo
    };
    let original = rt.start(mended, (log.clone(), true)).await.unwrap();
    original.result().await.unwrap();
    // Nobody undoes what a run did that has completed; its fork does, from the journal.
    mend(false);
    let fork = client.fork(original.id(), 3, "what if not").by("ada").take_over_undos().await.unwrap();
    let error = fork.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
    assert_eq!(trips(), ["book 1", "give back 1 seat 1"]);
    assert_eq!((undo_of(original.id()).await, undo_of(fork.id()).await), (Some("skipped"), Some("done")));
    let again = client.fork(original.id(), 3, "once more").take_over_undos().await.unwrap();
    let error = again.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Failed, .. }), "it was taken over before: {error}");
    assert_eq!(trips().len(), 2);
    for run in [original.id(), fork.id()] {
        let audit = client.audit(run).await.unwrap();
        assert_eq!((&*audit[0].who, &*audit[0].action), ("ada", "fork"), "both say so");
    }
    // A run that goes on undoes by itself.
    let running = rt.start(sleeps_for_days, ()).await.unwrap();
    let error = client.fork(running.id(), 0, "too early").take_over_undos().await.unwrap_err();
    assert!(matches!(error, Error::RunNotEnded { run } if run == running.id()), "{error}");
    let error = client.fork(running.id(), 0, "x".repeat(3_000)).await.unwrap_err();
    assert!(error.to_string().contains("the reason is too long"), "{error}");
    rt.shutdown().await;
});
