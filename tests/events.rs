//! Events: kept until a wait takes them, in order, once.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunId, Status};
use forge_wf_tests::waiting::*;
use forge_wf_tests::workflows::open_gate;
use forge_wf_tests::{eventually, on_every_backend};
use serde_json::json;
use sqlx::Connection;

use crate::{GATE, quick};

fn by(name: impl Into<String>) -> Approved {
    Approved { by: name.into() }
}

async fn is<T: serde::de::DeserializeOwned>(run: &forge_wf::RunHandle<T>, status: Status) {
    eventually(status.name(), async || (run.status().await.unwrap() == status).then_some(())).await;
}

on_every_backend!(events_are_taken_in_order_whether_they_come_before_or_after_the_wait, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(approvals, 5).await.unwrap();
    for n in 0..2 {
        rt.send_event(&run, by(format!("{n}"))).await.unwrap();
    }
    is(&run, Status::Waiting).await;
    for n in 2..5 {
        rt.send_event(run.id(), by(format!("{n}"))).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), ["0", "1", "2", "3", "4"]);
    rt.shutdown().await;
});

on_every_backend!(events_of_one_name_do_not_stand_in_the_way_of_another, |database| {
    let _gate = GATE.lock().await;
    open_gate(false);
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(approval_and_count, ()).await.unwrap();
    rt.send_event(&run, by("Ada")).await.unwrap();
    rt.send_event(&run, Counted(7)).await.unwrap();
    rt.send_event(&run, Counted(8)).await.unwrap();
    open_gate(true);
    assert_eq!(run.result().await.unwrap(), "Ada 7");
    let left = rt.client().untaken_events(run.id()).await.unwrap();
    assert_eq!(left.len(), 1, "nobody waited for it, and it is kept");
    assert_eq!((left[0].name.as_str(), &left[0].payload), ("counted-again", &json!(8)));
    rt.shutdown().await;
});

on_every_backend!(a_wait_that_timed_out_or_was_dropped_takes_none_and_so_on_replay, |database| {
    let _gate = GATE.lock().await;
    open_gate(false);
    let rt = quick(database).shutdown_grace(Duration::from_millis(50)).build().await.unwrap();
    let run = rt.start(impatient_approval, ()).await.unwrap();
    let id = run.id();
    eventually("the run at the gate", async || {
        let rows = database
            .texts(
                "SELECT key FROM forge_wf_journal WHERE key = 'step:gate'",
                "SELECT key FROM forge_wf.journal WHERE key = 'step:gate'",
            )
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
    rt.send_event(id, by("Ada")).await.unwrap();
    drop(run);
    rt.shutdown().await;

    open_gate(true);
    let rt = quick(database).build().await.unwrap();
    let run = rt.run::<String>(id).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "true took none Ada");
    rt.shutdown().await;
});

on_every_backend!(an_answer_that_came_too_late_is_too_late_though_nobody_was_there_to_see_it, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let (in_time, late) = (rt.start(deadline, 2_000).await.unwrap(), rt.start(deadline, 300).await.unwrap());
    for run in [&in_time, &late] {
        eventually("the timer in the journal", async || {
            let rows = database
                .texts(
                    "SELECT lower(hex(run_id)) FROM forge_wf_journal WHERE key = 'timeout'",
                    "SELECT replace(run_id::text, '-', '') FROM forge_wf.journal WHERE key = 'timeout'",
                )
                .await;
            rows.contains(&run.id().0.simple().to_string()).then_some(())
        })
        .await;
    }
    rt.shutdown().await;
    client.send_event(&in_time, by("Ada")).await.unwrap();
    eventually("both deadlines passed", async || {
        let rows = database
            .texts(
                "SELECT 'due' FROM forge_wf_journal WHERE key = 'timeout' AND due_at < unixepoch('subsec') * 1000000",
                "SELECT 'due' FROM forge_wf.journal WHERE key = 'timeout' AND due_at < now()",
            )
            .await;
        (rows.len() == 2).then_some(())
    })
    .await;
    client.send_event(&late, by("Bob")).await.unwrap();
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.run::<String>(in_time.id()).await.unwrap().result().await.unwrap(), "Ada");
    assert_eq!(rt.run::<String>(late.id()).await.unwrap().result().await.unwrap(), "nobody");
    assert_eq!(client.untaken_events(late.id()).await.unwrap().len(), 1, "and the late one is kept");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_event_with_an_id_reaches_the_run_once, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(approvals, 3).key("order-17").await.unwrap();
    let to = || RunRef::key(approvals, "order-17");
    let first = client.send_event(to(), by("Ada")).id("a-1").await.unwrap();
    is(&run, Status::Waiting).await;
    assert_eq!(client.send_event(&run, by("Ada again")).id("a-1").await.unwrap(), first, "by key or by id");
    client.send_event(RunRef::named_key("approvals", "order-17"), by("Bob")).id("a-2").await.unwrap();
    client.send_event(&run, by("Ada, much later")).id("a-1").await.unwrap();
    client.send_event(&run, by("Cleo")).await.unwrap();
    assert_eq!(run.result().await.unwrap(), ["Ada", "Bob", "Cleo"]);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_event_nobody_can_get_is_refused_by_name, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let nobody = RunId::new();
    let error = client.send_event(nobody, by("Ada")).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchRun { run } if run == nobody), "{error}");
    let error = client.send_event(RunRef::key(approvals, "no such"), by("Ada")).await.unwrap_err();
    assert!(matches!(&error, Error::NoRunWithKey { key, .. } if key == "no such"), "{error}");
    let run = rt.start(approvals, 0).await.unwrap();
    run.result().await.unwrap();
    let error = client.send_event(&run, by("Ada")).await.unwrap_err();
    assert!(matches!(error, Error::RunEnded { status: Status::Completed, .. }), "{error}");
    let run = rt.start(approvals, 1).await.unwrap();
    for name in ["", "a\0b", &"n".repeat(500)] {
        let error = client.send_event_named(&run, name, json!(null)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidName(_)), "{error}");
    }
    let error = client.send_event_named(&run, "approved", json!("x".repeat(5 << 20))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidEvent { .. }), "{error}");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_event_joins_the_callers_transaction, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(approvals, 1).key("order-17").await.unwrap();
    is(&run, Status::Waiting).await;
    let to = || RunRef::key(approvals, "order-17");
    if database.is_sqlite() {
        let mut connection = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        client.send_event(to(), by("nobody")).on(&mut *tx).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        client.send_event(to(), by("Ada")).on(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        client.send_event(to(), by("nobody")).on(&mut *tx).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        client.send_event(to(), by("Ada")).on(&mut *tx).await.unwrap();
        let error = client.send_event(RunId::new(), by("Ada")).on(&mut *tx).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchRun { .. }), "{error}");
        tx.commit().await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), ["Ada"]);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_event_that_does_not_fit_is_kept_until_it_is_replaced_or_dropped, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(approvals, 2).await.unwrap();
    let odd = client.send_event_named(&run, "approved", json!({ "bye": 1 })).await.unwrap();
    client.send_event(&run, by("Ada")).await.unwrap();
    let problem = eventually("the run saying what does not fit", async || run.problem().await.unwrap()).await;
    assert_eq!(problem.code(), Some("event_unfit"));
    assert!(problem.message().contains("missing field `by`") && problem.message().contains("approved"), "{problem}");
    is(&run, Status::Waiting).await;
    assert_eq!(client.untaken_events(run.id()).await.unwrap().len(), 2, "it keeps its place before the other");

    client.replace_event(run.id(), odd, json!({ "by": "Bob" })).await.unwrap();
    assert_eq!(run.result().await.unwrap(), ["Bob", "Ada"]);
    let error = client.drop_event(run.id(), odd).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchEvent { event, .. } if event == odd), "{error}");

    let run = rt.start(approvals, 1).await.unwrap();
    let odd = client.send_event_named(&run, "approved", json!(17)).await.unwrap();
    client.send_event(&run, by("Cleo")).await.unwrap();
    eventually("the run saying what does not fit", async || run.problem().await.unwrap()).await;
    client.drop_event(run.id(), odd).await.unwrap();
    assert_eq!(run.result().await.unwrap(), ["Cleo"]);
    assert!(client.untaken_events(run.id()).await.unwrap().is_empty());
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(what_fits_none_of_two_waits_keeps_the_run_waiting_and_nobody_working, |database| {
    let rt = quick(database).concurrency(1).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(name_and_number, ()).await.unwrap();
    let odd = client.send_event_named(&run, "approved", json!([1])).await.unwrap();
    eventually("the run saying what does not fit", async || run.problem().await.unwrap()).await;
    assert_eq!(run.status().await.unwrap(), Status::Waiting);
    assert_eq!(rt.start(deadline, 1).await.unwrap().result().await.unwrap(), "nobody", "the only slot is free");
    client.replace_event(run.id(), odd, json!(7)).await.unwrap();
    client.send_event(&run, by("Ada")).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Ada 7");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(what_drops_an_event_is_found_behind_all_that_was_noticed, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(approvals, 1).await.unwrap();
    let odd = client.send_event_named(&run, "approved", json!(17)).await.unwrap();
    let sends = (0..400).map(|n| client.send_event(&run, by(format!("{n}"))).into_future());
    futures::stream::StreamExt::for_each_concurrent(futures::stream::iter(sends), 16, async |sent| {
        sent.await.unwrap();
    })
    .await;
    eventually("all of it noticed", async || {
        let rows = database
            .texts(
                "SELECT 'new' FROM forge_wf_inbox WHERE noticed_at IS NULL",
                "SELECT 'new' FROM forge_wf.inbox WHERE noticed_at IS NULL",
            )
            .await;
        rows.is_empty().then_some(())
    })
    .await;
    let id = run.id();
    drop(run);
    rt.shutdown().await;
    client.drop_event(id, odd).await.unwrap();
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.run::<Vec<String>>(id).await.unwrap().result().await.unwrap().len(), 1);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(an_event_that_came_in_time_beats_the_timer_though_nobody_told_the_worker, |database| {
    let rt = quick(database).notifications(false).poll_interval(Duration::from_secs(60)).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = rt.start(deadline, 2_000).await.unwrap();
    eventually("the timer in the journal", async || {
        let rows = database
            .texts(
                "SELECT key FROM forge_wf_journal WHERE key = 'timeout'",
                "SELECT key FROM forge_wf.journal WHERE key = 'timeout'",
            )
            .await;
        (!rows.is_empty()).then_some(())
    })
    .await;
    client.send_event(&run, by("Ada")).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Ada");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_wait_by_name_takes_what_its_attribute_declares, |database| {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(decision, "decision".into()).await.unwrap();
    rt.client().send_event_named(&run, "decision", json!(true)).await.unwrap();
    assert!(run.result().await.unwrap());
    let error = rt.start(decision, "desicion".into()).await.unwrap().result().await.unwrap_err();
    let Error::RunFailed { failure, .. } = error else { panic!("{error}") };
    assert_eq!(failure.code(), Some("event_undeclared"), "{failure}");
    rt.shutdown().await;
});

on_every_backend!(no_event_is_lost_in_any_interleaving_of_send_and_suspend, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let runs = futures::future::join_all((0..60).map(|_| rt.start(counts_up, 12).into_future())).await;
    let sends = runs.iter().enumerate().map(|(n, run)| {
        let run = run.as_ref().unwrap();
        let (client, rt) = (&client, &rt);
        async move {
            for k in 0..12_u64 {
                // Half of them in this process, at all distances from each other.
                let sent = match (n as u64 + k) % 2 {
                    0 => client.send_event(run, Counted(k)).await,
                    _ => rt.send_event(run, Counted(k)).await,
                };
                sent.unwrap();
                for _ in 0..(n as u64 * k) % 7 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    futures::future::join_all(sends).await;
    for run in &runs {
        assert_eq!(run.as_ref().unwrap().result().await.unwrap(), 66);
    }
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_flood_to_one_run_is_taken_in_order_and_holds_up_nobody, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let other = rt.start(approvals, 1).await.unwrap();
    let flooded = rt.start(counts_up, 2_000).await.unwrap();
    let sends = (0..2_000).map(|n| client.send_event(&flooded, Counted(n)).into_future());
    futures::stream::StreamExt::for_each_concurrent(futures::stream::iter(sends), 16, async |sent| {
        sent.await.unwrap();
    })
    .await;
    client.send_event(&other, by("Ada")).await.unwrap();
    assert_eq!(other.result().await.unwrap(), ["Ada"]);
    assert_eq!(flooded.result().await.unwrap(), 1_999 * 1_000);
    client.close().await;
    rt.shutdown().await;
});

/// Waits for this many approvals; returns the first letters of who approved.
#[workflow]
async fn initials(ctx: &WorkflowContext, times: usize) -> Result<String> {
    let mut initials = String::new();
    for _ in 0..times {
        initials.extend(ctx.wait_for_event::<Approved>().await?.by.chars().next());
    }
    Ok(initials)
}

on_every_backend!(events_that_are_long_together_are_taken_in_order, |database| {
    let rt = quick(database).build().await.unwrap();
    let id = rt.start(initials, 12).await.unwrap().id();
    rt.shutdown().await;
    let client = Client::connect(database.url()).await.unwrap();
    // Three pages by their bytes. Some are noticed before the rest comes, so that there is a gap behind the first page.
    let send = async |letters: &str| {
        for letter in letters.chars() {
            client.send_event(id, by(letter.to_string().repeat(1 << 20))).await.unwrap();
        }
    };
    send("abcdef").await;
    database
        .texts(
            "UPDATE forge_wf_inbox SET noticed_at = 1 RETURNING name",
            "UPDATE forge_wf.inbox SET noticed_at = now() RETURNING name",
        )
        .await;
    send("ghijkl").await;
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.run::<String>(id).await.unwrap().result().await.unwrap(), "abcdefghijkl");
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(everything_works_without_notifications, |database| {
    let rt = quick(database).notifications(false).park_for(Duration::from_millis(50)).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start(approvals, 2).await.unwrap();
    is(&run, Status::Waiting).await;
    for name in ["Ada", "Bob"] {
        client.send_event(&run, by(name)).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap(), ["Ada", "Bob"]);
    client.close().await;
    rt.shutdown().await;
});
