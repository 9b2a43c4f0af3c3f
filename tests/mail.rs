//! Mail reaches its run at once, whatever the worker does just then, and mail of one run delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forge_wf::Status;
use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, HoldPoint, Side, open_store};
use forge_wf_tests::waiting::{Approved, approvals};
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::quick;

const HOUR: Duration = Duration::from_secs(3_600);
/// Where a worker can be held between the start of a run and its first wait.
const POINTS: [HoldPoint; 10] = [
    ("claim_runs", Side::Before),
    ("claim_runs", Side::After),
    ("load_journals", Side::Before),
    ("load_journals", Side::After),
    ("load_mail", Side::Before),
    ("load_mail", Side::After),
    ("commit", Side::Before),
    ("commit", Side::After),
    ("unnoticed_mail", Side::Before),
    ("unnoticed_mail", Side::After),
];

/// Starts a run with a key on a worker that has no other, holds the worker at this point, sends the run an event meanwhile, and
/// lets go. Nothing but a hint tells the worker of the event.
async fn with_mail_at(database: &Database, point: HoldPoint, from_outside: bool) {
    let (hold, held) = tokio::sync::watch::channel(Some(point));
    let inner = open_store(database.url()).await.unwrap();
    let store = Arc::new(FaultyStore::new(inner, Box::new(|_, _| Fault::None)).holding(held));
    let builder = quick(database).lease(HOUR).heartbeat(Duration::from_secs(60)).poll_interval(HOUR).park_for(HOUR);
    let rt = builder.store(store.clone()).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let key = format!("{point:?} {from_outside}");
    let run = client.start(approvals, 1).key(key).await.unwrap();
    // Only what has a turn is looked at, so the last two points are reached by an event.
    let noise = point.0 == "unnoticed_mail";
    eventually("the worker held", async || {
        if noise {
            client.send_event_named(run.id(), "noise", serde_json::Value::Null).await.unwrap();
        }
        (store.held() > 0).then_some(())
    })
    .await;
    let approved = Approved { by: "Ada".into() };
    if from_outside {
        client.send_event(&run, approved).await.unwrap();
    } else {
        rt.client().send_event(run.id(), approved).await.unwrap();
    }
    // A round trip to the database: the worker has used the hint up meanwhile, if it does so too early.
    run.status().await.unwrap();
    hold.send_replace(None);
    let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await;
    assert_eq!(result.unwrap_or_else(|_| panic!("no event at {point:?}, {from_outside}")).unwrap(), ["Ada"]);
    client.close().await;
    rt.shutdown().await;
}

on_every_backend!(mail_is_taken_at_once_wherever_it_falls_between_claim_and_turn, |database| {
    for point in POINTS {
        for from_outside in [false, true] {
            with_mail_at(database, point, from_outside).await;
        }
    }
});

/// Whether the bodies that compute go on.
static COMPUTES: AtomicBool = AtomicBool::new(false);

/// Computes, without awaiting, until the test lets it go on; then takes events until one says that it is the last.
#[workflow]
pub async fn computes(ctx: &WorkflowContext) -> Result<u64> {
    let first = ctx.wait_for_event::<Approved>().await?;
    // Its turn is held up, and not the thread: where all others sleep, nobody would wake one to drive timers and sockets.
    forge_wf::nondet!(tokio::task::block_in_place(|| {
        while COMPUTES.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }));
    let mut taken = u64::from(first.by == "first");
    while ctx.wait_for_event::<Approved>().await?.by != "last" {
        taken += 1;
    }
    Ok(taken)
}

/// Waits for an event for a moment; whether it came.
#[workflow]
pub async fn hopes(ctx: &WorkflowContext, millis: u64) -> Result<bool> {
    Ok(ctx.wait_for_event::<Approved>().timeout(Duration::from_millis(millis)).await.is_ok())
}

on_every_backend!(a_flood_to_runs_that_compute_delays_the_timers_and_the_mail_of_no_other, |database| {
    let rt = quick(database).lease(HOUR).heartbeat(Duration::from_secs(60)).park_for(HOUR).build().await.unwrap();
    let _alone = crate::GATE.lock().await;
    COMPUTES.store(true, Ordering::SeqCst);
    let busy = rt.start(computes, ()).await.unwrap();
    let others: Vec<_> = futures::future::join_all((0..20).map(|_| rt.start(hopes, 300).into_future())).await;
    let waits = rt.start(approvals, 1).await.unwrap();
    rt.send_event(&busy, Approved { by: "first".into() }).await.unwrap();
    // From a program that is not this worker, so that the worker has to look for it.
    let client = Client::connect(database.url()).await.unwrap();
    for n in 0..600 {
        client.send_event(busy.id(), Approved { by: n.to_string() }).await.unwrap();
    }
    client.send_event(waits.id(), Approved { by: "Ada".into() }).await.unwrap();
    // Nothing of this waits for the body that computes.
    for run in others {
        let result = tokio::time::timeout(Duration::from_secs(60), run.unwrap().result()).await.expect("a timer");
        assert!(!result.unwrap(), "nobody approved");
    }
    let result = tokio::time::timeout(Duration::from_secs(60), waits.result()).await.expect("mail");
    assert_eq!(result.unwrap(), ["Ada"]);
    assert!(COMPUTES.swap(false, Ordering::SeqCst), "the body has computed all the time");
    client.send_event(busy.id(), Approved { by: "last".into() }).await.unwrap();
    assert_eq!(busy.result().await.unwrap(), 601, "no event of the flood was lost");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_timer_that_is_due_behind_a_flood_is_behind_all_that_came_before_it, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(counts_approvals, ()).await.unwrap();
    eventually("the run waiting", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.shutdown().await;
    let client = Client::connect(database.url()).await.unwrap();
    for n in 0..600 {
        client.send_event(run.id(), Approved { by: n.to_string() }).await.unwrap();
    }
    let in_time = eventually("its timer due", async || {
        let rows = database
            .texts(
                "SELECT (SELECT count(*) FROM forge_wf_inbox WHERE sent_at <= due_at) || '' FROM forge_wf_journal
                 WHERE due_at < unixepoch('subsec') * 1000000",
                "SELECT (SELECT count(*) FROM forge_wf.inbox WHERE sent_at <= due_at)::text FROM forge_wf.journal
                 WHERE due_at < clock_timestamp()",
            )
            .await;
        rows.into_iter().next()
    })
    .await;
    let rt = quick(database).build().await.unwrap();
    let came = rt.run::<u64>(run.id()).await.unwrap().result().await.unwrap();
    assert_eq!(came.to_string(), in_time, "the events that came before the timer was due, and those only");
    client.close().await;
    rt.shutdown().await;
});

/// Takes events until a timer of a few seconds is due; how many came before.
#[workflow]
pub async fn counts_approvals(ctx: &WorkflowContext) -> Result<u64> {
    let mut came = 0;
    let until = ctx.sleep(Duration::from_secs(4));
    tokio::pin!(until);
    loop {
        tokio::select! {
            biased;
            event = ctx.wait_for_event::<Approved>() => came += u64::from(!event?.by.is_empty()),
            over = &mut until => return over.map(|()| came),
        }
    }
}

/// Calls children that take longer than its own timer, more than one page of their answers; whether the timer was first.
#[workflow]
pub async fn outruns_its_children(ctx: &WorkflowContext) -> Result<bool> {
    let until = ctx.sleep(Duration::from_secs(5));
    let children = futures::future::join_all((0..300).map(|_| hopes(ctx, 6_000)));
    tokio::pin!(until);
    tokio::select! {
        biased;
        answers = children => {
            for answer in answers {
                answer?;
            }
            Ok(false)
        }
        over = &mut until => over.map(|()| true),
    }
}

on_every_backend!(a_timer_that_was_due_before_a_flood_of_answers_is_handed_over_before_them, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(outruns_its_children, ()).await.unwrap();
    let counts = || {
        database.texts(
            "SELECT count(*) || ' ' || count(ended_at) FROM forge_wf_runs WHERE parent_id IS NOT NULL",
            "SELECT count(*) || ' ' || count(ended_at) FROM forge_wf.runs WHERE parent_id IS NOT NULL",
        )
    };
    eventually("its children", async || counts().await[0].starts_with("300 ").then_some(())).await;
    rt.client().pause(&run, "until all is due").await.unwrap();
    eventually("the pause", async || (run.status().await.unwrap() == Status::Paused).then_some(())).await;
    eventually("the ends of its children", async || (counts().await == ["300 300"]).then_some(())).await;
    rt.client().resume(&run, "now").await.unwrap();
    let timed_out = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("its timer");
    assert!(timed_out.unwrap(), "the timer was due before any of them");
    rt.shutdown().await;
});

on_every_backend!(the_mail_of_a_claim_of_many_runs_is_loaded_in_pieces, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    let mut runs = Vec::new();
    for n in 0..40 {
        runs.push(client.start(approvals, 0).key(format!("k{n}")).await.unwrap());
    }
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(|_, _| Fault::None));
    let store = Arc::new(store);
    let rt = quick(database).concurrency(256).store(store.clone()).build().await.unwrap();
    for run in runs {
        run.result().await.unwrap();
    }
    let most = store.inboxes_at_once();
    assert!((2..=16).contains(&most), "mail of {most} runs, of up to some MB each, was in memory at once");
    rt.shutdown().await;
    client.close().await;
});
