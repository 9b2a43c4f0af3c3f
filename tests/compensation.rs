//! Undoing: from the journal alone, newest first, whoever does it.

use std::path::Path;

use forge_wf::prelude::*;
use forge_wf::{Error, RunHandle, Status};
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

/// What a run did, in order.
fn effects(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn plan(log: &Path, legs: u64, end: TripEnd) -> Trip {
    Trip { log: log.display().to_string(), legs, end }
}

async fn ends<T: serde::de::DeserializeOwned>(run: RunHandle<T>) -> (Status, String) {
    match run.result().await {
        Ok(_) => (Status::Completed, String::new()),
        Err(Error::RunFailed { status, failure, .. }) => (status, failure.code().unwrap_or_default().to_owned()),
        Err(Error::RunBlocked { status, message, .. }) => (status, message),
        Err(error) => panic!("{error}"),
    }
}

on_every_backend!(a_failed_run_undoes_what_it_did_newest_first, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(trip, plan(&log, 3, TripEnd::Fails)).await.unwrap();
    let id = run.id();
    assert_eq!(ends(run).await, (Status::Compensated, "overbooked".into()), "the original failure stays on the run");
    let expected =
        ["book 1", "book 2", "book 3", "overbooked", "give back 3 seat 3", "give back 2 seat 2", "give back 1 seat 1"];
    assert_eq!(effects(&log), expected);
    assert_eq!(rt.run::<Vec<String>>(id).await.unwrap().status().await.unwrap(), Status::Compensated);
    rt.shutdown().await;
});

on_every_backend!(what_has_nothing_to_undo_fails_and_what_goes_on_undoes_nothing, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let failed = rt.start(trip, plan(&log, 0, TripEnd::Fails)).await.unwrap();
    assert_eq!(ends(failed).await, (Status::Failed, "overbooked".into()), "no undo for a step that failed for good");
    let recovered = rt.start(trip, plan(&log, 1, TripEnd::Recovers)).await.unwrap();
    assert_eq!(recovered.result().await.unwrap(), ["seat 1"]);
    assert_eq!(effects(&log), ["overbooked", "book 1", "overbooked"]);
    rt.shutdown().await;
});

on_every_backend!(concurrent_steps_are_undone_in_the_reverse_order_of_their_completion, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(group_trip, plan(&log, 8, TripEnd::Fails)).await.unwrap();
    let id = run.id();
    assert_eq!(ends(run).await.0, Status::Compensated);
    let booked = database
        .texts(
            "SELECT output FROM forge_wf_journal WHERE key = 'step:book' ORDER BY seq DESC",
            "SELECT output FROM forge_wf.journal WHERE key = 'step:book' ORDER BY seq DESC",
        )
        .await;
    let undone: Vec<_> = effects(&log)
        .iter()
        .filter_map(|line| line.split_once("seat "))
        .map(|(_, leg)| format!("\"seat {leg}\""))
        .collect();
    assert_eq!(undone, booked, "{id}");
    rt.shutdown().await;
});

on_every_backend!(a_dropped_booking_is_undone_whether_the_run_fails_or_completes, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    for end in [TripEnd::Fails, TripEnd::Arrives] {
        let log = folder.path().join(format!("{end:?}"));
        let run = rt.start(hasty_trip, plan(&log, 0, end)).await.unwrap();
        eventually("the booking under way", async || effects(&log).contains(&"begin 2".into()).then_some(())).await;
        rt.send_event(&run, Approved { by: "the hasty one".into() }).await.unwrap();
        let (status, _) = ends(run).await;
        let seen: Vec<_> = effects(&log).into_iter().filter(|line| line != "overbooked").collect();
        let dropped = ["book 1", "begin 2", "book 2", "give back 2 late seat 2"];
        if end == TripEnd::Fails {
            assert_eq!(
                (status, seen),
                (
                    Status::Compensated,
                    [&dropped[..], &["give back 1 seat 1"]].concat().iter().map(ToString::to_string).collect()
                )
            );
        } else {
            assert_eq!(
                (status, &seen[..]),
                (Status::Completed, &dropped.map(str::to_owned)[..]),
                "only what it dropped"
            );
        }
    }
    rt.shutdown().await;
});

on_every_backend!(what_is_in_doubt_is_found_out_before_it_is_undone, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let start = async |how: u64| {
        let log = folder.path().join(how.to_string());
        let run = rt.start(silent_trip, (log.display().to_string(), how)).await.unwrap();
        (ends(run).await, effects(&log))
    };
    let (end, seen) = start(0).await;
    assert_eq!(end.0, Status::Compensated);
    assert_eq!(seen, ["book 1", "book 2", "find 2", "give back 2 found seat 2", "give back 1 seat 1"]);
    let (end, seen) = start(1).await;
    assert_eq!((end.0, seen.len()), (Status::BlockedCompensation, 3), "all older undos wait: {seen:?}");
    assert!(end.1.contains("step:book_into_the_void#0") && end.1.contains("skip"), "{}", end.1);
    let (end, seen) = start(2).await;
    assert_eq!(end.0, Status::Compensated);
    assert_eq!(seen, ["book 1", "book 2", "give back 2 if any", "give back 1 seat 1"]);
    rt.shutdown().await;
});

on_every_backend!(a_result_that_cannot_be_recorded_counts_as_done, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).payload_limit(50_000).build().await.unwrap();
    let run = rt.start(crowded_trip, log.display().to_string()).await.unwrap();
    assert_eq!(ends(run).await, (Status::Compensated, "result_unusable".into()));
    assert_eq!(effects(&log), ["book 1", "book 2", "give back 2 100000", "give back 1 seat 1"]);
    rt.shutdown().await;
});

on_every_backend!(what_the_journal_says_of_undoing_can_be_read, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(trip, plan(&log, 1, TripEnd::Fails)).await.unwrap();
    assert_eq!(ends(run).await.0, Status::Compensated);
    let rows = database
        .texts(
            "SELECT key || ' ' || state || ' ' || coalesce(undo_state, '-') FROM forge_wf_journal ORDER BY seq",
            "SELECT key || ' ' || state || ' ' || coalesce(undo_state::text, '-') FROM forge_wf.journal ORDER BY seq",
        )
        .await;
    assert_eq!(
        rows,
        ["start 1 -", "step:book 1 2", "step:overbooked 2 -", "unwind 2 -", "undo:step:book 1 -", "end 2 -"]
    );
    rt.shutdown().await;
});

/// Leaves the counter in doubt at first, and then says that it is done.
#[step(compensate = take_back(log, output), timeout = "20ms")]
async fn pay_in_doubt(ctx: &StepContext, log: &str) -> Result<String> {
    note(log, "pay");
    if ctx.attempt() == 1 {
        std::future::pending::<()>().await;
    }
    Ok("receipt".into())
}

/// Takes a payment back once that is allowed.
#[step]
async fn take_back(log: &str, receipt: String) -> Result<()> {
    if !Path::new(&format!("{log}.allowed")).exists() {
        return Err(Failure::permanent("not yet"));
    }
    note(log, &format!("take back {receipt}"));
    Ok(())
}

/// Pays, and does not hear of it.
#[workflow]
async fn pays_in_doubt(ctx: &WorkflowContext, log: String) -> Result<()> {
    pay_in_doubt(ctx, &log).await.map(drop)
}

fn note(log: &str, line: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

on_every_backend!(what_was_found_out_is_what_is_undone_and_shows_as_undone, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(pays_in_doubt, log.display().to_string()).await.unwrap();
    let blocked = run.result().await.unwrap_err();
    assert!(matches!(blocked, Error::RunBlocked { status: Status::BlockedCompensation, .. }), "{blocked}");
    let undo_of = async |call: &str| {
        let details = run.show().await.unwrap();
        details.entries.iter().find(|entry| entry.call == call).and_then(|entry| entry.undo)
    };
    assert_eq!(undo_of("resolve:step:pay_in_doubt#0").await, Some("failed"));
    std::fs::write(folder.path().join("log.allowed"), "").unwrap();
    rt.client().retry(&run, "it is allowed now").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Compensated).then_some(())).await;
    assert_eq!(effects(&log), ["pay", "pay", "take back receipt"], "it was not paid again");
    for call in ["step:pay_in_doubt#0", "resolve:step:pay_in_doubt#0"] {
        assert_eq!(undo_of(call).await, Some("done"), "{call}");
    }
    rt.shutdown().await;
});
