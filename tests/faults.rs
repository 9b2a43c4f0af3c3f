//! Lost answers and failing calls are repeated without harm; poison does not spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf::{Error, Status};
use forge_wf_tests::waiting::{Approved, Counted, Lap, approvals, everything, laps};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

/// Runs three runs of `combinators` and `three` with this fault at the `n`-th writing call; returns how many there were.
async fn with_fault(database: &forge_wf_tests::Database, fault: Fault, n: u64) -> u64 {
    let inner = open_store(database.url()).await.unwrap();
    let store =
        Arc::new(FaultyStore::new(inner, Box::new(move |_, number| if number == n { fault } else { Fault::None })));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let rt = quick(database).store(store.clone()).build().await.unwrap();
    let first = rt.start(three, Job { log: log.clone(), n: 1 }).await.unwrap();
    let keyed = rt.start(three, Job { log: log.clone(), n: 2 }).key(format!("{fault:?} {n}")).await.unwrap();
    assert!(keyed.created() || fault == Fault::LosesAnswer, "a repeated start finds the run it made");
    assert_eq!(first.result().await.unwrap(), 4, "{fault:?} at call {n}");
    assert_eq!(keyed.result().await.unwrap(), 5, "{fault:?} at call {n}");
    rt.shutdown().await;
    let effects = std::fs::read_to_string(log).unwrap();
    assert_eq!(effects.lines().count(), 6, "{fault:?} at call {n}: every step ran once:\n{effects}");
    store.calls()
}

on_every_backend!(every_call_may_fail_or_lose_its_answer_once, |database| {
    let calls = with_fault(database, Fault::None, u64::MAX).await;
    assert!(calls >= 8, "{calls} writing calls were counted");
    for fault in [Fault::Fails, Fault::LosesAnswer] {
        for n in 0..calls {
            with_fault(database, fault, n).await;
        }
    }
});

on_every_backend!(a_commit_may_lose_its_answer_and_then_meet_a_lock, |database| {
    for (first, busy) in [(Fault::LosesAnswer, 1), (Fault::LosesAnswer, 3), (Fault::IsBusy, 2), (Fault::IsBusy, 6)] {
        // The first commit of a run, and those behind it: the empty batches that find out what became of it.
        for nth in 0..3 {
            let commits = AtomicU64::new(0);
            let plan = move |name: &'static str, _| {
                let number = if name == "commit" { commits.fetch_add(1, Ordering::SeqCst) } else { u64::MAX };
                match number {
                    number if number == nth => first,
                    number if number > nth && number <= nth + busy => Fault::IsBusy,
                    _ => Fault::None,
                }
            };
            let inner = open_store(database.url()).await.unwrap();
            let rt = quick(database).store(Arc::new(FaultyStore::new(inner, Box::new(plan)))).build().await.unwrap();
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("effects").display().to_string();
            let run = rt.start(three, Job { log: log.clone(), n: 1 }).await.unwrap();
            assert_eq!(run.result().await.unwrap(), 4, "{first:?}, then {busy} busy ones, from commit {nth}");
            rt.shutdown().await;
            let effects = std::fs::read_to_string(log).unwrap();
            assert_eq!(effects.lines().count(), 3, "every step ran once:\n{effects}");
        }
    }
});

on_every_backend!(commits_may_lose_answers_fail_and_meet_locks_in_any_order, |database| {
    // Any mixture will do, as long as none comes at regular distances.
    let plan = |name: &'static str, number: u64| match number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 {
        0 => Fault::LosesAnswer,
        1 => Fault::Fails,
        2 | 3 if name == "commit" => Fault::IsBusy,
        _ => Fault::None,
    };
    forty_runs(database, plan).await;
});

on_every_backend!(a_worker_of_which_a_part_panics_registers_anew_and_goes_on, |database| {
    for call in ["claim_runs", "commit", "renew_lease", "take_over"] {
        let inner = open_store(database.url()).await.unwrap();
        let panicked = Arc::new(AtomicBool::new(false));
        let told = panicked.clone();
        let plan = move |name: &'static str, _| match name == call && !told.swap(true, Ordering::SeqCst) {
            true => panic!("{call} panics, as it was told to"),
            false => Fault::None,
        };
        let rt = quick(database).store(Arc::new(FaultyStore::new(inner, Box::new(plan)))).build().await.unwrap();
        eventually(call, async || {
            let run = rt.start(three, Job::of(1)).await.unwrap();
            assert_eq!(run.result().await.unwrap(), 4, "{call}");
            panicked.load(Ordering::SeqCst).then_some(())
        })
        .await;
        let keyed = rt.start(three, Job::of(2)).key(call).await.unwrap();
        assert_eq!(keyed.result().await.unwrap(), 5, "{call}");
        rt.shutdown().await;
    }
});

/// Runs `everything` with this fault at the `n`-th writing call; returns how many there were.
async fn waits_with_fault(database: &forge_wf_tests::Database, fault: Fault, n: u64) -> u64 {
    let inner = open_store(database.url()).await.unwrap();
    let plan = move |_: &'static str, number| if number == n { fault } else { Fault::None };
    let store = Arc::new(FaultyStore::new(inner, Box::new(plan)));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let rt = quick(database).store(store.clone()).build().await.unwrap();
    let run = rt.start(everything, Job { log: log.clone(), n: 1 }).await.unwrap();
    for counted in [100, 1_000] {
        // A call that fails twice is the caller's to repeat; these fail once.
        rt.send_event(&run, Counted(counted)).id(counted.to_string()).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), 1_107, "{fault:?} at call {n}");
    rt.shutdown().await;
    let effects = std::fs::read_to_string(log).unwrap();
    assert_eq!(effects.lines().count(), 6, "{fault:?} at call {n}: every step ran once:\n{effects}");
    store.calls()
}

on_every_backend!(every_call_may_fail_or_lose_its_answer_while_runs_wait, |database| {
    let calls = waits_with_fault(database, Fault::None, u64::MAX).await;
    assert!(calls >= 12, "{calls} writing calls were counted");
    for fault in [Fault::Fails, Fault::LosesAnswer] {
        for n in 0..calls {
            waits_with_fault(database, fault, n).await;
        }
    }
});

on_every_backend!(an_old_look_for_mail_hands_no_event_over_twice, |database| {
    let commits_fail = Arc::new(AtomicBool::new(false));
    let plan = {
        let fail = commits_fail.clone();
        move |call: &'static str, _| {
            if call == "commit" && fail.load(Ordering::SeqCst) { Fault::Fails } else { Fault::None }
        }
    };
    let rt = quick(database).build().await.unwrap();
    let id = rt.start(laps, Lap { lap: 0, laps: 1, log: String::new() }).await.unwrap().id();
    rt.shutdown().await;
    let client = Client::connect(database.url()).await.unwrap();
    client.send_event(id, Counted(1)).await.unwrap();

    // The event comes along with the claim; while the commit that takes it is under way, a look finds it too.
    commits_fail.store(true, Ordering::SeqCst);
    let (hold, held) = tokio::sync::watch::channel(Some(id));
    let inner = open_store(database.url()).await.unwrap();
    let store = Arc::new(FaultyStore::new(inner, Box::new(plan)).holding_looks(held));
    let rt = quick(database).park_for(Duration::from_secs(60)).store(store.clone()).build().await.unwrap();
    let run = rt.run::<u64>(id).await.unwrap();
    eventually("a look that found it", async || {
        rt.client().send_event_named(id, "noise", serde_json::Value::Null).id("noise").await.unwrap();
        (store.looks_held() > 0).then_some(())
    })
    .await;
    commits_fail.store(false, Ordering::SeqCst);
    eventually("the next generation waiting", async || {
        let rows = database
            .texts(
                "SELECT 'it' FROM forge_wf_runs WHERE generation = 1 AND state = 2",
                "SELECT 'it' FROM forge_wf.runs WHERE generation = 1 AND state = 2",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    hold.send_replace(None);
    rt.send_event(&run, Counted(10)).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 13, "each event was counted once, and one added to each");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(mail_that_comes_while_its_run_is_claimed_is_not_left_to_the_next_hint, |database| {
    let rt = quick(database).build().await.unwrap();
    let id = rt.start(approvals, 1).await.unwrap().id();
    rt.shutdown().await;
    let client = Client::connect(database.url()).await.unwrap();
    client.send_event_named(id, "noise", serde_json::Value::Null).await.unwrap();

    // Claimed because of the noise; its mail is loaded already when the event comes, and its turn has not begun.
    let ((hold_looks, looks), (hold_loads, loads)) =
        (tokio::sync::watch::channel(Some(id)), tokio::sync::watch::channel(true));
    let inner = open_store(database.url()).await.unwrap();
    let store = FaultyStore::new(inner, Box::new(|_, _| Fault::None)).holding_looks(looks).holding_loads(loads);
    let store = Arc::new(store);
    let hour = Duration::from_secs(3_600);
    let rt = quick(database).poll_interval(hour).park_for(hour).store(store.clone()).build().await.unwrap();
    eventually("its mail loaded", async || (store.loads_held() > 0).then_some(())).await;
    // Only a worker with runs in memory looks for mail.
    rt.start(approvals, 1).await.unwrap();
    let run = rt.run::<Vec<String>>(id).await.unwrap();
    rt.send_event(&run, Approved { by: "Ada".into() }).await.unwrap();
    eventually("a look that found it", async || (store.looks_held() > 0).then_some(())).await;
    hold_loads.send_replace(false);
    eventually("its turn begun", async || {
        let rows = database
            .texts(
                "SELECT 'it' FROM forge_wf_inbox WHERE name = 'noise' AND noticed_at IS NOT NULL",
                "SELECT 'it' FROM forge_wf.inbox WHERE name = 'noise' AND noticed_at IS NOT NULL",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    hold_looks.send_replace(None);
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("another look");
    assert_eq!(result.unwrap(), ["Ada"]);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_look_for_mail_that_fails_is_soon_repeated, |database| {
    let inner = open_store(database.url()).await.unwrap();
    let store = Arc::new(FaultyStore::new(inner, Box::new(|_, _| Fault::None)));
    let hour = Duration::from_secs(3_600);
    // A lease that is lost would hand the run to the next claim, which reads its mail without a look.
    let builder = quick(database).lease(hour).heartbeat(Duration::from_secs(60)).poll_interval(hour).park_for(hour);
    let rt = builder.store(store.clone()).build().await.unwrap();
    let run = rt.start(approvals, 1).await.unwrap();
    eventually("the run waiting", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    store.fail_looks(3);
    rt.send_event(&run, Approved { by: "Ada".into() }).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("another look");
    assert_eq!(result.unwrap(), ["Ada"]);
    assert_eq!(store.looks_to_fail(), 0);
    rt.shutdown().await;
});

/// Forty runs of `three` at once, beside faults by this plan: each returns its result, and every step runs once.
async fn forty_runs(
    database: &forge_wf_tests::Database,
    plan: impl Fn(&'static str, u64) -> Fault + Send + Sync + 'static,
) {
    let inner = open_store(database.url()).await.unwrap();
    let rt = quick(database).store(Arc::new(FaultyStore::new(inner, Box::new(plan)))).build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("effects").display().to_string();
    let runs =
        futures::future::join_all((0..40).map(|n| rt.start(three, Job { log: log.clone(), n }).into_future())).await;
    for (n, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 3);
    }
    rt.shutdown().await;
    let effects = std::fs::read_to_string(log).unwrap();
    assert_eq!(effects.lines().count(), 120, "every step ran once:\n{effects}");
}

on_every_backend!(every_third_call_may_lose_its_answer, |database| {
    let plan = |_: &'static str, number: u64| if number.is_multiple_of(3) { Fault::LosesAnswer } else { Fault::None };
    forty_runs(database, plan).await;
});

on_every_backend!(a_poisonous_entry_fails_its_own_step_and_nobody_else, |database| {
    let inner = open_store(database.url()).await.unwrap();
    let store = FaultyStore::new(inner, Box::new(|_, _| Fault::None)).refusing("poison");
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    let starts = (0..40).map(|n| rt.start(three, Job::of(n)).into_future());
    let (neighbours, poisoned) =
        tokio::join!(futures::future::join_all(starts), rt.start(swallows, "poison".into()).into_future());
    for (n, run) in (0..).zip(neighbours) {
        assert_eq!(run.unwrap().result().await.unwrap(), n + 3);
    }
    let said = poisoned.unwrap().result().await.unwrap();
    assert!(said.starts_with("result_unusable") && said.contains("step:brew#0"), "{said}");
    // A run that has done its work waits for its end to be accepted.
    let error = rt.start(returns_it, "poison".into()).await.unwrap().result().await.unwrap_err();
    assert!(matches!(error, Error::RunBlocked { status: Status::BlockedRefused, .. }), "{error}");
    assert!(error.to_string().contains("which ends with that result"), "{error}");
    rt.shutdown().await;
});

on_every_backend!(what_cannot_even_begin_on_record_fails_and_is_not_tried_for_ever, |database| {
    let inner = open_store(database.url()).await.unwrap();
    let store = FaultyStore::new(inner, Box::new(|_, _| Fault::None)).refusing("poison");
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    let said = rt.start(begins_badly, "poison".into()).await.unwrap().result().await.unwrap();
    assert_eq!(said, ["result_unusable"; 3], "a step to be tried again, a child, and a detached child");
    rt.shutdown().await;
});

on_every_backend!(what_was_done_is_undone_though_its_record_is_refused, |database| {
    let folder = tempfile::tempdir().unwrap();
    let inner = open_store(database.url()).await.unwrap();
    let store = FaultyStore::new(inner, Box::new(|_, _| Fault::None)).refusing("poison");
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    for (how, status) in [(0, Status::Compensated), (1, Status::BlockedRefused), (2, Status::BlockedCompensation)] {
        let log = folder.path().join(how.to_string());
        let run = rt.start(brews_and_fails, (log.display().to_string(), "poi".into(), how)).await.unwrap();
        let ended = match run.result().await.unwrap_err() {
            Error::RunFailed { status, .. } | Error::RunBlocked { status, .. } => status,
            error => panic!("{error}"),
        };
        assert_eq!(ended, status, "{how}");
        let spilt = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(spilt, if status == Status::Compensated { "spilt" } else { "" }, "{how}");
        if status == Status::BlockedRefused {
            rt.client().cancel(run.id(), "its result is not wanted any more").await.unwrap();
            eventually("its rollback", async || (run.status().await.unwrap() == Status::Cancelled).then_some(())).await;
            assert_eq!(std::fs::read_to_string(&log).unwrap(), "spilt");
        }
    }
    rt.shutdown().await;
});

on_every_backend!(a_run_that_has_done_its_work_is_not_undone_because_its_end_is_refused, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rt = quick(database).build().await.unwrap();
    // A constraint of the user's, which is refused as bad data.
    database
        .execute(if database.is_sqlite() {
            "CREATE TRIGGER refuses BEFORE INSERT ON {forge_wf}journal WHEN NEW.key = 'end'
                 BEGIN SELECT RAISE(ABORT, 'not now'); END"
        } else {
            "ALTER TABLE {forge_wf}journal ADD CONSTRAINT refuses CHECK (key <> 'end')"
        })
        .await;
    let run = rt.start(brews_and_fails, (log.display().to_string(), "poi".into(), 1)).await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunBlocked { status: Status::BlockedRefused, .. }), "{error}");
    // A retry that comes too early is used up, and does not have the run executed for ever.
    rt.client().retry(run.id(), "perhaps it is allowed now").await.unwrap();
    let open = || {
        database.texts(
            "SELECT name FROM forge_wf_inbox WHERE taken_at IS NULL",
            "SELECT name FROM forge_wf.inbox WHERE taken_at IS NULL",
        )
    };
    eventually("the retry is used up", async || open().await.is_empty().then_some(())).await;
    eventually("it is blocked again", async || (run.status().await.unwrap() == Status::BlockedRefused).then_some(()))
        .await;
    database
        .execute(if database.is_sqlite() {
            "DROP TRIGGER refuses"
        } else {
            "ALTER TABLE {forge_wf}journal DROP CONSTRAINT refuses"
        })
        .await;
    rt.client().retry(run.id(), "it is allowed now").await.unwrap();
    assert_eq!(eventually("its result", async || run.result().await.ok()).await, "poison");
    assert!(!log.exists(), "nothing was undone");
    rt.shutdown().await;
});

/// Undoes a brew.
#[step]
async fn spill(log: &str, _brew: String) -> Result<()> {
    std::fs::write(log, "spilt")?;
    Ok(())
}

/// Brews what the database refuses; its compensation does not need that.
#[step(compensate = spill(log, String::new()))]
async fn brew_undoable(log: &str, text: &str) -> Result<String> {
    Ok(format!("{text}son for {log}"))
}

/// Brews what the database refuses, and its compensation needs just that.
#[step(compensate = spill(log, output))]
async fn brew_strongly(log: &str, text: &str) -> Result<String> {
    Ok(format!("{text}son for {log}"))
}

/// Brews, and ends in one of several bad ways.
#[workflow]
async fn brews_and_fails(ctx: &WorkflowContext, (log, text, how): (String, String, u64)) -> Result<String> {
    match how {
        0 => brew_undoable(ctx, &log, &text).await,
        1 => {
            brew_undoable(ctx, &log, "tea").await?;
            Ok(format!("{text}son"))
        }
        _ => brew_strongly(ctx, &log, &text).await,
    }
}

/// Fails once, so that a row shows its arguments until the next attempt.
#[step(retry(max = 2, backoff = "1ms"))]
async fn falters(ctx: &StepContext, text: &str) -> Result<usize> {
    if ctx.attempt() == 1 { Err(Failure::new("not yet")) } else { Ok(text.len()) }
}

/// Takes anything.
#[workflow]
async fn length(_ctx: &WorkflowContext, text: String) -> Result<usize> {
    Ok(text.len())
}

/// Sees with which codes calls fail whose beginning is refused.
#[workflow]
async fn begins_badly(ctx: &WorkflowContext, text: String) -> Result<Vec<String>> {
    let failures = [
        falters(ctx, &text).await.err(),
        length(ctx, text.clone()).await.err().map(Failure::from),
        length(ctx, text).detach().await.err().map(Failure::from),
    ];
    Ok(failures.iter().map(|failure| failure.as_ref().and_then(Failure::code).unwrap_or("none").to_owned()).collect())
}

/// Brews what it is told to, backwards, so that only the output is refused.
#[step]
async fn brew(text: &str) -> Result<String> {
    Ok(text.to_owned())
}

/// Sees that the record of its step was refused.
#[workflow]
async fn swallows(ctx: &WorkflowContext, text: String) -> Result<String> {
    match brew(ctx, &text).await {
        Ok(_) => Ok("fine".into()),
        Err(failure) => Ok(format!("{}: {failure}", failure.code().unwrap_or("no code")).replace("poison", "")),
    }
}

/// Returns what is refused.
#[workflow]
async fn returns_it(ctx: &WorkflowContext, text: String) -> Result<String> {
    add(ctx, "", 1).await?;
    Ok(text)
}
