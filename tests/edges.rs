//! Commands at the edge of a run's life: as it ends and is retried, as it continues as new, and on a worker that lacks its code.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunId, Status, Timestamp};
use forge_wf_tests::waiting::{Approved, waiting_child};
use forge_wf_tests::workflows::{Job, three};
use forge_wf_tests::{Database, eventually, on_every_backend};
use futures::future::join_all;

use crate::quick;

/// Fails after a moment.
#[step(retry(max = 1))]
async fn give_out(after: u64) -> Result<()> {
    tokio::time::sleep(Duration::from_micros(after)).await;
    Err(Failure::permanent("worn out"))
}

/// Fails a moment after it has begun.
#[workflow]
async fn gives_out(ctx: &WorkflowContext, after: u64) -> Result<()> {
    give_out(ctx, after).await
}

/// Continues as new, again and again.
#[workflow]
async fn goes_on_anew(ctx: &WorkflowContext, n: u64) -> Result<()> {
    ctx.sleep(Duration::from_millis(1)).await?;
    ctx.continue_as_new(n + 1).await
}

async fn status(rt: &Runtime, run: RunId) -> Status {
    rt.run::<serde_json::Value>(run).await.unwrap().status().await.unwrap()
}

/// Makes all runs of a workflow need code that no worker has, and names them.
async fn forget_the_code(database: &Database) {
    database
        .texts(
            "UPDATE forge_wf_runs SET definition = x'00000000000000000000000000000001', needs = x'00000000000000000000000000000001' WHERE worker_id IS NULL AND phase = 0 RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000001', needs = '00000000-0000-0000-0000-000000000001' WHERE worker_id IS NULL AND phase = 0 RETURNING workflow",
        )
        .await;
}

on_every_backend!(a_cancel_that_came_as_a_run_ended_does_not_cancel_its_retry, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    // Cancels that come a little before, at and a little after the end: some of them stay in the inbox.
    let races = (0..120).map(|n| {
        let (rt, client) = (&rt, &client);
        async move {
            let run = rt.start(gives_out, 20_000).await.unwrap();
            let cancel = async {
                tokio::time::sleep(Duration::from_micros(20_000 + n * 100)).await;
                client.cancel(run.id(), "late").await
            };
            let (result, cancelled) = tokio::join!(run.result(), cancel);
            assert!(matches!(cancelled, Ok(()) | Err(Error::RunEnded { .. })), "{cancelled:?}");
            let Err(Error::RunFailed { status, .. }) = result else { panic!("{result:?}") };
            (status == Status::Failed).then_some(run)
        }
    });
    for run in join_all(races).await.into_iter().flatten() {
        client.retry(&run, "once more").await.unwrap();
        let Err(Error::RunFailed { status, failure, .. }) = run.result().await else { panic!("it fails again") };
        assert_eq!((status, failure.message()), (Status::Failed, "worn out"), "run {}", run.id());
    }
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_command_finds_a_run_in_whatever_generation_it_is, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let runs = join_all((0..20).map(|_| rt.start(goes_on_anew, 0).into_future())).await;
    for (n, run) in runs.into_iter().map(Result::unwrap).enumerate() {
        eventually("some generations", async || (run.show().await.unwrap().generation > 2).then_some(())).await;
        if n % 2 == 0 { client.cancel(&run, "enough") } else { client.kill(&run, "enough") }.await.unwrap();
        let Err(Error::RunFailed { status, .. }) = run.result().await else { panic!("it was stopped") };
        assert_eq!(status, if n % 2 == 0 { Status::Cancelled } else { Status::Killed });
    }
    client.close().await;
    rt.shutdown().await;
});

/// A run that waits, is in no memory, and whose code no worker has.
async fn left_without_code(database: &Database) -> RunId {
    let rt = quick(database).build().await.unwrap();
    let run = rt.start(waiting_child, ()).await.unwrap();
    let id = run.id();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    drop(run);
    rt.shutdown().await;
    forget_the_code(database).await;
    id
}

on_every_backend!(a_cancel_behind_a_flood_ends_a_run_whose_code_is_gone, |database| {
    let id = left_without_code(database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let flood = (0..600).map(|n| client.send_event(id, Approved { by: n.to_string() }).into_future());
    for sent in join_all(flood).await {
        sent.unwrap();
    }
    client.cancel(id, "its code is gone").await.unwrap();
    let rt = quick(database).build().await.unwrap();
    eventually("the end", async || match status(&rt, id).await {
        Status::Cancelled => Some(()),
        status @ (Status::BlockedDivergence | Status::BlockedForeignAwait) => panic!("{}", status.name()),
        _ => None,
    })
    .await;
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_worker_without_the_workflow_gives_a_run_back_that_its_command_does_not_end, |database| {
    let id = left_without_code(database).await;
    // The reminder of a deadline that counts no more, as an older build may have left it.
    database
        .texts(
            "INSERT INTO forge_wf_inbox (id, run_id, kind, name, sent_at) SELECT x'00000000000000000000000000000007', id, 11, 'deadline', 1 FROM forge_wf_runs RETURNING name",
            "INSERT INTO forge_wf.inbox (id, run_id, kind, name, sent_at) SELECT '00000000-0000-0000-0000-000000000007', id, 11, 'deadline', now() FROM forge_wf.runs RETURNING name",
        )
        .await;
    let rt = quick(database).build().await.unwrap();
    eventually("the reminder is used up", async || {
        let taken = database
            .texts(
                "SELECT name FROM forge_wf_inbox WHERE taken_at IS NOT NULL",
                "SELECT name FROM forge_wf.inbox WHERE taken_at IS NOT NULL",
            )
            .await;
        (taken == ["deadline"]).then_some(())
    })
    .await;
    let row = database
        .texts(
            "SELECT state || ' ' || coalesce(block_reason, 'free') FROM forge_wf_runs",
            "SELECT state || ' ' || coalesce(block_reason, 'free') FROM forge_wf.runs",
        )
        .await;
    assert_eq!(row, ["0 free"], "ready for a worker that has its code");
    rt.client().kill(id, "enough").await.unwrap();
    eventually("the end", async || (status(&rt, id).await == Status::Killed).then_some(())).await;
    rt.shutdown().await;
});

on_every_backend!(nothing_but_time_begins_a_run_that_was_started_with_a_delay, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let bother = async |run: RunId| {
        client.send_event(run, Approved { by: "Ada".into() }).await.unwrap();
        client.pause(run, "let me look").await.unwrap();
        client.resume(run, "go on").await.unwrap();
        client.retry(run, "perhaps now").await.unwrap();
    };
    for typed in [true, false] {
        for kills in [true, false] {
            let run = match typed {
                true => rt.start(waiting_child, ()).delay(hours(1)).await.unwrap().id(),
                false => client.start(waiting_child, ()).delay(hours(1)).await.unwrap().id(),
            };
            let run = rt.run::<String>(run).await.unwrap();
            let due = run.show().await.unwrap().ready_at;
            bother(run.id()).await;
            // Runs that come later are claimed and end meanwhile.
            for n in 0..3 {
                rt.start(three, Job::of(n)).key(format!("{} {n}", run.id())).await.unwrap().result().await.unwrap();
            }
            let details = run.show().await.unwrap();
            assert_eq!((details.status, details.ready_at, details.entries.len()), (Status::Pending, due, 1));
            if kills { run.kill("enough") } else { run.cancel("enough") }.await.unwrap();
            let Err(Error::RunFailed { status, .. }) = run.result().await else { panic!("it was stopped") };
            assert_eq!(status, if kills { Status::Killed } else { Status::Cancelled });
            assert_eq!(run.show().await.unwrap().entries.len(), 2, "its start and its end");
        }
    }
    let soon = rt.start(waiting_child, ()).delay(Duration::from_secs(1)).await.unwrap();
    let due = soon.show().await.unwrap().ready_at.unwrap();
    bother(soon.id()).await;
    assert_eq!(soon.result().await.unwrap(), "Ada", "what came before is there when it begins");
    assert!(soon.show().await.unwrap().ended_at.unwrap() >= due);
    client.close().await;
    rt.shutdown().await;
});

on_every_backend!(a_delayed_run_misses_its_deadline_before_it_is_due, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = Client::connect(database.url()).await.unwrap();
    let soon = Timestamp::from(std::time::SystemTime::now() + Duration::from_millis(100));
    let delayed = rt.start(waiting_child, ()).delay(hours(1)).deadline(soon).await.unwrap().id();
    let by_client = client.start(waiting_child, ()).delay(hours(1)).deadline(soon).await.unwrap().id();
    let long_ago = rt.start(waiting_child, ()).deadline(Timestamp::MIN_UTC).await.unwrap().id();
    let delayed_long_ago =
        client.start(waiting_child, ()).delay(hours(1)).deadline(Timestamp::MIN_UTC).await.unwrap().id();
    for run in [delayed, by_client, long_ago, delayed_long_ago] {
        let run = rt.run::<String>(run).await.unwrap();
        let Err(Error::RunFailed { status, failure, .. }) = run.result().await else { panic!("it is late") };
        assert_eq!((status, failure.code()), (Status::Failed, Some("deadline")), "{failure}");
    }
    let never = rt.start(three, Job::of(1)).deadline(Timestamp::MAX_UTC).await.unwrap();
    assert_eq!(never.result().await.unwrap(), 4);
    client.close().await;
    rt.shutdown().await;
});
