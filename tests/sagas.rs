//! Sagas: part of a body that undoes itself, and the body goes on.

use std::path::Path;
use std::time::Duration;

use forge_wf::{Error, Status};
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{eventually, on_every_backend};
use tokio::sync::Mutex;

use crate::quick;

/// These tests mend and break the steps of the whole process, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

fn effects(log: &Path) -> Vec<String> {
    std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What every trip does before its end.
const TRIP: [&str; 15] = [
    "book 1",
    "book 2",
    "book 3",
    "book 4",
    "overbooked",
    "give back 4 seat 4",
    "book 5",
    "book 6",
    "overbooked",
    "find 6",
    "give back 6 found seat 6",
    "give back 5 seat 5",
    "give back 3 seat 3",
    "book 7",
    "overbooked",
];

on_every_backend!(a_saga_undoes_what_it_did_and_the_body_goes_on, |database| {
    let folder = tempfile::tempdir().unwrap();
    let plan = |name: &str, end| Trip { log: folder.path().join(name).display().to_string(), legs: 0, end };
    for (park, end) in [
        (Duration::from_secs(10), TripEnd::Arrives),
        (Duration::ZERO, TripEnd::Waits),
        (Duration::ZERO, TripEnd::Fails),
    ] {
        let rt = quick(database).park_for(park).build().await.unwrap();
        let name = format!("{end:?}");
        let run = rt.start(partial_trip, plan(&name, end)).await.unwrap();
        let id = run.id();
        let log = folder.path().join(&name);
        if end == TripEnd::Fails {
            let error = run.result().await.unwrap_err();
            assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
            let undone = ["give back 7 seat 7", "give back 2 seat 2", "give back 1 seat 1"];
            assert_eq!(effects(&log), [&TRIP[..], &undone].concat(), "each of them once");
        } else {
            assert_eq!(run.result().await.unwrap(), "overbooked");
            assert_eq!(effects(&log), TRIP[..14], "{end:?}");
            let details = rt.client().show(id).await.unwrap();
            let booked: Vec<_> = (details.entries.iter().filter(|entry| entry.call.starts_with("step:book#")))
                .map(|entry| entry.saga)
                .collect();
            assert_eq!(booked, [None, Some(1), Some(2), Some(3), Some(4), None], "each in its saga");
        }
        rt.shutdown().await;
    }
});

on_every_backend!(an_undo_that_gives_up_in_a_saga_blocks_the_run_until_it_is_tried_again, |database| {
    let _turn = TURN.lock().await;
    mend(false);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(stuck_trip, log.display().to_string()).await.unwrap();
    let error = run.result().await.unwrap_err();
    let Error::RunBlocked { status: Status::BlockedCompensation, message, .. } = error else { panic!("{error}") };
    assert!(message.contains("step:book_for_good#0") && message.contains("the counter is closed"), "{message}");
    mend(true);
    rt.client().retry(&run, "the counter is open").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Completed).then_some(())).await;
    assert_eq!(effects(&log), ["book 1", "book for good", "overbooked", "give back seat"]);

    mend(false);
    let log = folder.path().join("cancelled");
    let run = rt.start(stuck_trip, log.display().to_string()).await.unwrap();
    assert!(matches!(run.result().await.unwrap_err(), Error::RunBlocked { .. }));
    run.cancel("never mind").await.unwrap();
    eventually("the cancel obeyed", async || {
        let details = run.show().await.unwrap();
        let turned = details.entries.iter().any(|entry| entry.call == "unwind#0");
        (turned && details.status == Status::BlockedCompensation).then_some(())
    })
    .await;
    rt.client().skip_undo(&run, "step:book_for_good#0", "let it be").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Cancelled).then_some(())).await;
    assert_eq!(effects(&log), ["book 1", "book for good", "overbooked", "give back 1 seat 1"]);
    rt.shutdown().await;
});

on_every_backend!(what_a_saga_was_undoing_when_the_run_was_stopped_is_not_undone_again, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(stopped_trip, log.display().to_string()).await.unwrap();
    eventually("the undo under way", async || effects(&log).contains(&"gives back".into()).then_some(())).await;
    run.cancel("enough").await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Cancelled, .. }), "{error}");
    let expected = ["book 1", "overbooked", "gives back", "gave back seat for 1", "give back 1 seat 1"];
    assert_eq!(effects(&log), expected);
    rt.shutdown().await;
});

on_every_backend!(what_an_operator_decides_about_an_undo_of_a_saga_holds, |database| {
    let _turn = TURN.lock().await;
    mend(false);
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    for settle in ["skip", "done"] {
        let log = folder.path().join(settle);
        let run = rt.start(stuck_trip, log.display().to_string()).await.unwrap();
        assert!(matches!(run.result().await.unwrap_err(), Error::RunBlocked { .. }));
        let call = "step:book_for_good#0";
        match settle {
            "skip" => rt.client().skip_undo(&run, call, "let it be").await.unwrap(),
            _ => rt.client().mark_undone(&run, call, "called them").await.unwrap(),
        }
        eventually("the end", async || (run.status().await.unwrap() == Status::Completed).then_some(())).await;
        let undo =
            run.show().await.unwrap().entries.into_iter().find(|entry| entry.call == "undo:step:book_for_good#0");
        assert_eq!(undo.map(|undo| (undo.state, undo.attempts)), Some(("completed", 0)), "{settle}: not done by us");
    }
    rt.shutdown().await;
});

on_every_backend!(a_step_of_a_saga_that_stays_in_doubt_is_never_taken_for_its_own_undo, |database| {
    let folder = tempfile::tempdir().unwrap();
    let rt = quick(database).build().await.unwrap();
    let stuck = async |name: &str| {
        let log = folder.path().join(name);
        let run = rt.start(void_trip, log.display().to_string()).await.unwrap();
        let error = run.result().await.unwrap_err();
        let Error::RunBlocked { status: Status::BlockedCompensation, message, .. } = error else { panic!("{error}") };
        assert!(message.contains("step:book_into_the_void#0"), "{message}");
        (run, log)
    };
    let (run, log) = stuck("skipped").await;
    rt.client().skip_undo(&run, "step:book_into_the_void#0", "only a seat").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Completed).then_some(())).await;
    assert_eq!(effects(&log), ["book 1", "book 2", "book 2", "give back 1 seat 1"]);

    let (run, log) = stuck("cancelled").await;
    run.cancel("enough").await.unwrap();
    let calls = async || run.show().await.unwrap().entries.into_iter().map(|entry| entry.call).collect::<Vec<_>>();
    eventually("the cancel obeyed", async || calls().await.contains(&"unwind#0".to_owned()).then_some(())).await;
    rt.client().retry(&run, "perhaps").await.unwrap();
    eventually("another look", async || (effects(&log).len() == 4).then_some(())).await;
    eventually("blocked", async || (run.status().await.unwrap() == Status::BlockedCompensation).then_some(())).await;
    assert!(!calls().await.contains(&"undo:step:book_into_the_void#0".to_owned()));
    rt.shutdown().await;
});

on_every_backend!(a_fork_takes_the_same_path_past_a_rollback, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let plan = Trip { log: log.display().to_string(), legs: 0, end: TripEnd::Arrives };
    let run = rt.start(partial_trip, plan).await.unwrap();
    run.result().await.unwrap();
    let entries = run.show().await.unwrap().entries;
    let undos = entries.iter().filter(|entry| entry.call.starts_with("undo:") || entry.call.starts_with("resolve:"));
    let undos: Vec<_> = undos.filter_map(|entry| entry.seq).collect();
    assert_eq!(undos.len(), 5);
    for seq in undos {
        let fork = rt.client().fork(run.id(), seq, "what if").by("ada").await.unwrap();
        assert_eq!(fork.result().await.unwrap(), serde_json::json!("overbooked"), "from {seq} on");
    }
    // The first fork makes what came after that undo, and undoes this itself; what the original did it leaves to the original.
    let forks = ["book 5", "book 6", "overbooked", "find 6", "give back 6 found seat 6", "give back 5 seat 5"];
    assert_eq!(effects(&log)[14..], [&forks[..], &["book 7"; 5]].concat());
    rt.shutdown().await;
});

on_every_backend!(a_saga_that_is_dropped_while_it_undoes_is_undone_once, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(impatient_trip, log.display().to_string()).await.unwrap();
    for seen in ["gives back", "gave back seat for 1"] {
        eventually(seen, async || effects(&log).contains(&seen.into()).then_some(())).await;
        rt.send_event(&run, Approved { by: "the impatient one".into() }).await.unwrap();
    }
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Compensated, .. }), "{error}");
    let expected = [
        "book 1",
        "book 2",
        "overbooked",
        "gives back",
        "gave back seat for 1",
        "book 3",
        "overbooked",
        "give back 3 seat 3",
        "give back 2 seat 2",
        "give back 1 seat 1",
    ];
    assert_eq!(effects(&log), expected);
    rt.shutdown().await;
});

on_every_backend!(a_saga_whose_undo_a_build_lacks_goes_on_with_one_that_has_it, |database| {
    let _turn = TURN.lock().await;
    mend(false);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(stuck_trip, log.display().to_string()).await.unwrap();
    assert!(matches!(run.result().await.unwrap_err(), Error::RunBlocked { .. }));
    let run = run.id();
    // As if it had been written by a build whose step took something else.
    database
        .texts(
            "UPDATE forge_wf_journal SET args = lower(hex(undo_digest)), undo_digest = x'00000000000000000000000000000001' WHERE key = 'step:book_for_good' RETURNING key",
            "UPDATE forge_wf.journal SET args = undo_digest::text, undo_digest = '00000000-0000-0000-0000-000000000001' WHERE key = 'step:book_for_good' RETURNING key",
        )
        .await;
    mend(true);
    rt.client().retry(run, "mended").await.unwrap();
    let why = eventually("the build that lacks the step", async || {
        let details = rt.client().show(run).await.unwrap();
        (details.status == Status::BlockedDivergence).then_some(details.why)
    })
    .await;
    assert!(why.contains("step:never_gives_back") && why.contains("deploy one that does"), "{why}");
    rt.shutdown().await;
    database
        .texts(
            "UPDATE forge_wf_journal SET args = NULL, undo_digest = unhex(args) WHERE key = 'step:book_for_good' RETURNING key",
            "UPDATE forge_wf.journal SET args = NULL, undo_digest = args::uuid WHERE key = 'step:book_for_good' RETURNING key",
        )
        .await;
    let rt = quick(database).build_id("the next build").build().await.unwrap();
    assert_eq!(rt.run::<String>(run).await.unwrap().result().await.unwrap(), "overbooked");
    assert_eq!(effects(&log), ["book 1", "book for good", "overbooked", "give back seat"]);
    rt.shutdown().await;
});
