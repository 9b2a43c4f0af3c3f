//! Orders: cancel, kill, pause, resume and what an operator decides, in whatever state a run is.

use std::path::Path;
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunHandle, RunId, Status, Timestamp};
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::*;
use forge_wf_tests::{eventually, in_time, on_every_backend};

use crate::quick;

fn effects(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn plan(log: &Path, legs: u64, end: TripEnd) -> Trip {
    Trip { log: log.display().to_string(), legs, end }
}

async fn is<T: serde::de::DeserializeOwned>(run: &RunHandle<T>, status: Status) {
    eventually(status.name(), async || (run.status().await.unwrap() == status).then_some(())).await;
}

async fn ends<T: serde::de::DeserializeOwned>(run: &RunHandle<T>) -> (Status, String) {
    match run.result().await {
        Ok(_) => (Status::Completed, String::new()),
        Err(Error::RunFailed { status, failure, .. }) => (status, failure.message().to_owned()),
        Err(Error::RunBlocked { status, message, .. }) => (status, message),
        Err(error) => panic!("{error}"),
    }
}

on_every_backend!(a_cancelled_run_undoes_what_it_did_whatever_it_waits_for, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    for (end, from_outside) in [(TripEnd::Waits, false), (TripEnd::Waits, true), (TripEnd::Hangs, false)] {
        let log = folder.path().join(format!("{end:?} {from_outside}"));
        let run = rt.start(trip, plan(&log, 2, end)).await.unwrap();
        eventually("both legs", async || (effects(&log).len() == 2).then_some(())).await;
        if end == TripEnd::Waits {
            is(&run, Status::Sleeping).await;
        }
        if from_outside {
            client.cancel(&run, "no more trips").by("ada").await.unwrap();
        } else {
            run.cancel("no more trips").by("ada").await.unwrap();
        }
        assert_eq!(ends(&run).await, (Status::Cancelled, "cancelled by ada: no more trips".into()), "{end:?}");
        assert_eq!(effects(&log)[2..], ["give back 2 seat 2", "give back 1 seat 1"], "{end:?}");
        let error = run.cancel("again").await.unwrap_err();
        assert!(matches!(error, Error::RunEnded { status: Status::Cancelled, .. }), "{error}");
        let audit = client.audit(run.id()).await.unwrap();
        assert_eq!(audit.len(), 1);
        assert_eq!((&*audit[0].who, &*audit[0].action, &*audit[0].details), ("ada", "cancel", "no more trips"));
    }
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_run_that_nobody_has_in_memory_is_cancelled_too, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let client = Client::connect(database.url()).await.unwrap();
    let never_began = client.start(trip, plan(&log, 1, TripEnd::Arrives)).await.unwrap();
    client.cancel(&never_began, "changed my mind").await.unwrap();
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    assert_eq!(ends(&never_began).await.0, Status::Cancelled);
    assert!(effects(&log).is_empty(), "nothing was done");
    let asleep = rt.start(trip, plan(&log, 1, TripEnd::Waits)).await.unwrap();
    is(&asleep, Status::Sleeping).await;
    eventually("the run out of memory", async || {
        let owned = database
            .texts(
                "SELECT 'owned' FROM forge_wf_runs WHERE worker_id IS NOT NULL",
                "SELECT 'owned' FROM forge_wf.runs WHERE worker_id IS NOT NULL",
            )
            .await;
        owned.is_empty().then_some(())
    })
    .await;
    client.cancel(&asleep, "changed my mind").await.unwrap();
    assert_eq!(ends(&asleep).await.0, Status::Cancelled);
    assert_eq!(effects(&log), ["book 1", "give back 1 seat 1"]);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_blocked_run_is_cancelled_and_one_whose_workflow_is_gone, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let blocked = rt.start(falls_over, log.display().to_string()).await.unwrap();
    assert_eq!(ends(&blocked).await.0, Status::BlockedPanic);
    assert_eq!(effects(&log), ["book 1"], "a bug in a body unwinds nothing");
    blocked.cancel("it will not get better").await.unwrap();
    eventually("the end", async || (blocked.status().await.unwrap() == Status::Cancelled).then_some(())).await;
    assert_eq!(effects(&log), ["book 1", "give back 1 seat 1"]);
    // A run of a workflow that no binary has any more, since its row says so.
    let orphan = rt.start(trip, plan(&log, 1, TripEnd::Waits)).await.unwrap();
    is(&orphan, Status::Sleeping).await;
    rt.shutdown().await;
    database
        .texts(
            "UPDATE forge_wf_runs SET definition = x'00000000000000000000000000000001', needs = x'00000000000000000000000000000001', state = 0 WHERE worker_id IS NULL AND phase = 0 RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000001', needs = '00000000-0000-0000-0000-000000000001', state = 0 WHERE worker_id IS NULL AND phase = 0 RETURNING workflow",
        )
        .await;
    let rt = quick(database).build().await.unwrap();
    client.cancel(orphan.id(), "its code is gone").await.unwrap();
    let orphan = client.run::<Vec<String>>(orphan.id()).await.unwrap();
    assert_eq!(ends(&orphan).await.0, Status::Cancelled);
    assert_eq!(effects(&log)[2..], ["book 1", "give back 1 seat 1"]);
    let strange = RunId::new();
    let error = client.cancel(strange, "who is this").await.unwrap_err();
    assert!(matches!(error, Error::NoSuchRun { run } if run == strange), "{error}");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_killed_run_undoes_nothing_and_a_retired_one_neither, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let (sleeping, hanging) = (
        rt.start(trip, plan(&log, 1, TripEnd::Waits)).await.unwrap(),
        rt.start(trip, plan(&log, 1, TripEnd::Hangs)).await.unwrap(),
    );
    eventually("both booked", async || (effects(&log).len() == 2).then_some(())).await;
    hanging.kill("stop").await.unwrap();
    rt.client().retire(&sleeping, "nobody can").await.unwrap();
    assert_eq!(ends(&hanging).await, (Status::Killed, "killed by client: stop".into()));
    assert_eq!(ends(&sleeping).await.0, Status::Retired);
    assert_eq!(effects(&log).len(), 2);
    rt.shutdown().await;
});

on_every_backend!(a_paused_run_starts_nothing_until_it_is_resumed, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(trip, plan(&log, 1_000_000, TripEnd::Arrives)).await.unwrap();
    eventually("some legs", async || (effects(&log).len() > 3).then_some(())).await;
    rt.client().pause(&run, "let me look").await.unwrap();
    is(&run, Status::Paused).await;
    let booked = effects(&log).len();
    let recorded = database
        .texts(
            "SELECT key FROM forge_wf_journal WHERE key = 'step:book' AND seq > 0",
            "SELECT key FROM forge_wf.journal WHERE key = 'step:book' AND seq > 0",
        )
        .await;
    assert_eq!(recorded.len(), booked, "what ran was recorded");
    let id = run.id();
    drop(run);
    rt.shutdown().await;
    let rt = quick(database).build().await.unwrap();
    let run = rt.run::<Vec<String>>(id).await.unwrap();
    assert_eq!(run.status().await.unwrap(), Status::Paused, "a pause outlives those who obey it");
    assert_eq!(effects(&log).len(), booked);
    rt.client().resume(&run, "go on").await.unwrap();
    eventually("more legs", async || (effects(&log).len() > booked).then_some(())).await;
    rt.client().pause(&run, "once more").await.unwrap();
    is(&run, Status::Paused).await;
    run.kill("enough").await.unwrap();
    is(&run, Status::Killed).await;
    let log = folder.path().join("asleep");
    let asleep = rt.start(trip, plan(&log, 1, TripEnd::Waits)).await.unwrap();
    is(&asleep, Status::Sleeping).await;
    rt.client().pause(&asleep, "stay").await.unwrap();
    is(&asleep, Status::Paused).await;
    asleep.cancel("go").await.unwrap();
    is(&asleep, Status::Cancelled).await;
    assert_eq!(effects(&log), ["book 1", "give back 1 seat 1"], "a cancel ends a pause");
    rt.shutdown().await;
});

on_every_backend!(an_operator_decides_about_an_undo_that_gave_up, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    for settle in ["skip", "done"] {
        let log = folder.path().join(settle);
        let run = rt.start(silent_trip, (log.display().to_string(), 1)).await.unwrap();
        assert_eq!(ends(&run).await.0, Status::BlockedCompensation);
        client.skip_undo(&run, "step:book#0", "not this one").await.unwrap();
        client.cancel(&run, "hurry").await.unwrap();
        eventually("both orders obeyed", async || (client.audit(run.id()).await.unwrap().len() == 2).then_some(()))
            .await;
        is(&run, Status::BlockedCompensation).await;
        let booked = |log: &Path| effects(log).iter().filter(|line| *line == "book 2").count();
        let before = booked(&log);
        client.retry(&run, "perhaps now").await.unwrap();
        eventually("another attempt", async || (booked(&log) > before).then_some(())).await;
        is(&run, Status::BlockedCompensation).await;
        let call = "step:book_into_the_void#0";
        match settle {
            "skip" => client.skip_undo(&run, call, "it is only a seat").await.unwrap(),
            _ => client.mark_undone(&run, call, "called them").await.unwrap(),
        }
        is(&run, Status::Compensated).await;
        assert_eq!(effects(&log).last().unwrap(), "give back 1 seat 1", "all that waited was undone");
    }
    rt.shutdown().await;
});

on_every_backend!(children_have_ended_before_their_parent_undoes_what_is_older, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(family_trip, plan(&log, 1, TripEnd::Waits)).await.unwrap();
    eventually("the child's leg", async || (effects(&log).len() == 2).then_some(())).await;
    run.cancel("rain").await.unwrap();
    assert_eq!(ends(&run).await.0, Status::Cancelled);
    let undone = ["book 10", "book 1", "give back 1 seat 1", "give back 10 seat 10"];
    assert_eq!(effects(&log), undone);
    // Nor does it take the parent's code to wait for the child.
    let run = rt.start(family_trip, plan(&log, 1, TripEnd::Waits)).await.unwrap();
    eventually("the child's leg", async || (effects(&log).len() == 6).then_some(())).await;
    is(&run, Status::Waiting).await;
    let id = run.id();
    drop(run);
    rt.shutdown().await;
    database
        .texts(
            "UPDATE forge_wf_runs SET definition = x'00000000000000000000000000000001', needs = x'00000000000000000000000000000001' WHERE workflow = 'family_trip' AND phase = 0 RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000001', needs = '00000000-0000-0000-0000-000000000001' WHERE workflow = 'family_trip' AND phase = 0 RETURNING workflow",
        )
        .await;
    let rt = quick(database).build().await.unwrap();
    let run = rt.run::<()>(id).await.unwrap();
    run.cancel("its code is gone").await.unwrap();
    is(&run, Status::Cancelled).await;
    assert_eq!(effects(&log)[4..], undone);
    rt.shutdown().await;
});

on_every_backend!(a_thousand_runs_are_cancelled_at_once, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let runs = futures::future::join_all((0..1_000).map(|_| rt.start(sleeps_for_days, ()).into_future())).await;
    let runs: Vec<_> = runs.into_iter().map(Result::unwrap).collect();
    let cancels = runs.iter().map(|run| client.cancel(run, "all of them").into_future());
    for cancelled in futures::future::join_all(cancels).await {
        cancelled.unwrap();
    }
    for run in &runs {
        assert_eq!(ends(run).await.0, Status::Cancelled);
    }
    rt.shutdown().await;
});

on_every_backend!(a_run_past_its_deadline_undoes_what_it_did, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    in_time(async |attempt| {
        let log = folder.path().join(attempt.to_string());
        let late = Timestamp::from(std::time::SystemTime::now() + Duration::from_millis(700) * attempt);
        let run = rt.start(trip, plan(&log, 1, TripEnd::Waits)).deadline(late).await.unwrap();
        let (status, message) = ends(&run).await;
        assert!(message.contains("deadline"), "{message}");
        if effects(&log).is_empty() {
            return false;
        }
        assert_eq!(status, Status::Compensated);
        assert_eq!(effects(&log), ["book 1", "give back 1 seat 1"]);
        true
    })
    .await;
    rt.shutdown().await;
});

on_every_backend!(a_blocked_a_paused_and_an_unserved_run_are_late_too, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let late = || Timestamp::from(std::time::SystemTime::now() + Duration::from_secs(3_600));
    let log = |name: &str| folder.path().join(name);
    let fallen = rt.start(falls_over, log("fallen").display().to_string()).deadline(late()).await.unwrap();
    let paused = rt.start(trip, plan(&log("paused"), 1, TripEnd::Waits)).deadline(late()).await.unwrap();
    is(&paused, Status::Sleeping).await;
    rt.client().pause(&paused, "let me look").await.unwrap();
    is(&paused, Status::Paused).await;
    is(&fallen, Status::BlockedPanic).await;
    let gone = rt.start(trip, plan(&log("gone"), 1, TripEnd::Waits)).await.unwrap();
    is(&gone, Status::Sleeping).await;
    rt.shutdown().await;
    database
        .texts(
            "UPDATE forge_wf_runs SET needs = x'00000000000000000000000000000001', definition = x'00000000000000000000000000000001' WHERE worker_id IS NULL AND state IN (0, 2) RETURNING workflow",
            "UPDATE forge_wf.runs SET needs = '00000000-0000-0000-0000-000000000001', definition = '00000000-0000-0000-0000-000000000001' WHERE worker_id IS NULL AND state IN (0, 2) RETURNING workflow",
        )
        .await;
    let late = database
        .texts(
            "UPDATE forge_wf_runs SET deadline_at = 1 RETURNING workflow",
            "UPDATE forge_wf.runs SET deadline_at = now() RETURNING workflow",
        )
        .await;
    assert_eq!(late.len(), 3);
    let (fallen, paused, gone) = (fallen.id(), paused.id(), gone.id());
    let rt = quick(database).build().await.unwrap();
    for (run, name) in [(fallen, "fallen"), (paused, "paused"), (gone, "gone")] {
        let run = rt.run::<serde_json::Value>(run).await.unwrap();
        is(&run, Status::Compensated).await;
        assert_eq!(effects(&log(name)), ["book 1", "give back 1 seat 1"], "{name}");
        let details = run.show().await.unwrap();
        assert_eq!(details.failure.as_ref().and_then(|failure| failure.code()), Some("deadline"), "{name}");
    }
    rt.shutdown().await;
});

on_every_backend!(a_timeout_counts_once_over_all_generations_and_anew_for_a_retry, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    in_time(async |_| {
        let trip = serde_json::json!(plan(&log, 1, TripEnd::Waits));
        let by_name = client.start_by_name("endless_trip", trip).await.unwrap();
        let (status, message) = ends(&by_name).await;
        assert_eq!(status, Status::Failed, "{message}");
        let details = by_name.show().await.unwrap();
        assert!(message.contains("deadline"), "{details:?}");
        if details.generation == 0 {
            return false;
        }
        let first = details.deadline_at.unwrap();
        assert!(first > details.created_at && first < details.created_at + Duration::from_secs(60));
        client.retry(&by_name, "once more").await.unwrap();
        assert_eq!(ends(&by_name).await.0, Status::Failed);
        let details = by_name.show().await.unwrap();
        assert!(details.deadline_at.unwrap() > first, "{details:?}");
        true
    })
    .await;
    rt.shutdown().await;
});

on_every_backend!(a_workflow_with_a_timeout_ends_in_time_however_it_is_started, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    for how in ["typed", "by name", "child", "earlier deadline"] {
        in_time(async |attempt| {
            let log = folder.path().join(format!("{how} {attempt}"));
            let plan = plan(&log, 1, TripEnd::Waits);
            let (status, message) = match how {
                "typed" => ends(&rt.start(short_trip, plan).await.unwrap()).await,
                "by name" => {
                    let plan = serde_json::to_value(plan).unwrap();
                    let client = rt.client();
                    ends(&client.start_by_name("short_trip", plan).await.unwrap()).await
                }
                "child" => ends(&rt.start(parent_of_short_trip, plan).await.unwrap()).await,
                _ => ends(&rt.start(short_trip, plan).deadline(Timestamp::UNIX_EPOCH).await.unwrap()).await,
            };
            assert!(message.contains("deadline"), "{how}: {message}");
            if how == "earlier deadline" {
                assert_eq!((status, effects(&log).len()), (Status::Failed, 0), "{how}: {message}");
                return true;
            }
            if effects(&log).is_empty() {
                return false;
            }
            let expected = if how == "child" { Status::Failed } else { Status::Compensated };
            assert_eq!((status, effects(&log).len()), (expected, 2), "{how}: {message}");
            true
        })
        .await;
    }
    rt.shutdown().await;
});
