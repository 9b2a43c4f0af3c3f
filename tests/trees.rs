//! Runs with children that are killed or retired: the whole tree ends with its root, and nothing of it is undone.

use std::process::Stdio;
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Filter, RunId, RunSummary, Status};
use forge_wf_tests::family::tree;
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{Database, eventually, on_every_backend};
use futures::future::join_all;
use tokio::process::Command;

use crate::quick;

/// Never comes to its end.
#[step]
async fn never_undone(_done: u64) -> Result<()> {
    std::future::pending().await
}

/// Can only be undone by a step that never ends.
#[step(compensate = never_undone)]
async fn done_for_good() -> Result<u64> {
    Ok(1)
}

/// Has something to undo, and waits.
#[workflow]
async fn stubborn(ctx: &WorkflowContext) -> Result<()> {
    done_for_good(ctx).await?;
    ctx.wait_for_event::<Approved>().await.map(drop)
}

/// Drops its child as soon as it is told to, and waits.
#[workflow]
async fn drops_stubborn(ctx: &WorkflowContext) -> Result<()> {
    tokio::select! {
        biased;
        _ = stubborn(ctx) => {}
        _ = ctx.wait_for_event::<Approved>() => {}
    }
    ctx.wait_for_event::<Approved>().await.map(drop)
}

async fn runs(client: &Client, workflow: &str) -> Vec<RunSummary> {
    client.list(&Filter::new().workflow(workflow).page_size(1_000)).await.unwrap().runs
}

/// Until so many runs of this workflow are all in this status.
async fn all_are(client: &Client, workflow: &str, count: usize, status: Status) {
    eventually(&format!("{count} runs of {workflow} {}", status.name()), async || {
        let runs = runs(client, workflow).await;
        (runs.len() == count && runs.iter().all(|run| run.status == status)).then_some(())
    })
    .await;
}

/// Makes runs that nobody owns need code that no worker has: these of a workflow without a parent.
async fn forget_the_roots(database: &Database) {
    database
        .texts(
            "UPDATE forge_wf_runs SET definition = x'00000000000000000000000000000001', needs = x'00000000000000000000000000000001' WHERE parent_id IS NULL AND phase < 2 RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000001', needs = '00000000-0000-0000-0000-000000000001' WHERE parent_id IS NULL AND phase < 2 RETURNING workflow",
        )
        .await;
}

on_every_backend!(a_killed_run_takes_its_tree_along_and_a_retired_one_too, |database| {
    let mut trees = 0;
    for (kill, code_is_gone) in [(true, false), (false, false), (true, true)] {
        let mut rt = quick(database).build().await.unwrap();
        let client = Client::connect(database.url()).await.unwrap();
        let run = rt.start(tree, 2).await.unwrap().id();
        trees += 1;
        eventually("all of them", async || {
            let waiting = runs(&client, "tree").await.iter().filter(|run| run.status == Status::Waiting).count();
            (waiting == 7 && runs(&client, "waiting_child").await.len() == trees * 3).then_some(())
        })
        .await;
        if code_is_gone {
            rt.shutdown().await;
            forget_the_roots(database).await;
            rt = quick(database).build().await.unwrap();
        }
        if kill { client.kill(run, "enough") } else { client.retire(run, "enough") }.by("ada").await.unwrap();
        let status = if kill { Status::Killed } else { Status::Retired };
        eventually("the end of the tree", async || {
            let ended = runs(&client, "tree").await.into_iter().filter(|run| run.status.is_ended()).count();
            (ended == trees * 7).then_some(())
        })
        .await;
        let ended: Vec<_> = runs(&client, "tree").await.into_iter().take(7).collect();
        assert!(ended.iter().all(|run| run.status == status), "{ended:?}");
        let child = ended.iter().find(|child| child.parent == Some(run)).unwrap();
        let why = client.show(child.id).await.unwrap().failure.unwrap().to_string();
        assert!(why.contains(&run.to_string()), "{why}");
        assert_eq!(
            client.show(run).await.unwrap().failure.unwrap().message(),
            match kill {
                true => "killed by ada: enough",
                false => "retired by ada: enough",
            }
        );
        all_are(&client, "waiting_child", trees * 3, Status::Waiting).await;
        client.close().await;
        rt.shutdown().await;
    }
});

on_every_backend!(a_run_that_is_killed_as_it_calls_leaves_no_child_behind, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let killed = (0..40).map(|n| {
        let (rt, client) = (&rt, &client);
        async move {
            let run = rt.start(tree, 2).await.unwrap();
            tokio::time::sleep(Duration::from_micros(n * 300)).await;
            client.kill(&run, "enough").await.unwrap();
            let _ = run.result().await;
        }
    });
    join_all(killed).await;
    eventually("no child of a killed run lives", async || {
        runs(&client, "tree").await.iter().all(|run| run.status == Status::Killed).then_some(())
    })
    .await;
    rt.shutdown().await;
});

on_every_backend!(a_child_that_undoes_ends_with_its_killed_parent, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    for drops in [true, false] {
        let run = rt.start(drops_stubborn, ()).await.unwrap();
        let status_of = async |parent: RunId| {
            let children = runs(&client, "stubborn").await;
            children.into_iter().find(|child| child.parent == Some(parent)).map(|child| child.status)
        };
        eventually("the child", async || (status_of(run.id()).await == Some(Status::Waiting)).then_some(())).await;
        if drops {
            client.send_event(&run, Approved { by: "Ada".into() }).await.unwrap();
        } else {
            client.cancel(&run, "enough").await.unwrap();
        }
        eventually("undoing", async || (status_of(run.id()).await == Some(Status::Compensating)).then_some(())).await;
        client.kill(&run, "now").await.unwrap();
        all_ended(&client).await;
        assert_eq!(status_of(run.id()).await, Some(Status::Killed), "{drops}");
        assert_eq!(run.status().await.unwrap(), Status::Killed);
    }
    rt.shutdown().await;
});

async fn all_ended(client: &Client) {
    eventually("all have ended", async || {
        let all = client.list(&Filter::new().page_size(1_000)).await.unwrap().runs;
        all.iter().all(|run| run.status.is_ended()).then_some(())
    })
    .await;
}

on_every_backend!(a_tree_ends_though_its_worker_is_killed_between_the_ends_of_its_runs, |database| {
    let point = |variable: &'static str, number: u64| {
        let on_sqlite = database.is_sqlite();
        async move {
            let database = if on_sqlite { Database::sqlite() } else { Database::postgres().await };
            let live = async |point: Option<String>| {
                let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
                worker.arg(database.url()).args(["tree", "1"]).stdout(Stdio::null()).kill_on_drop(true);
                worker.envs(point.map(|point| (variable, point)));
                worker.status().await.unwrap().success()
            };
            assert!(!live(Some(format!("end:{number}"))).await, "{variable} kills it at {number}");
            assert!(live(None).await, "the next process ends the tree after {variable} at {number}");
            let states = database
                .texts(
                    "SELECT workflow || ' ' || state FROM forge_wf_runs ORDER BY workflow, state",
                    "SELECT workflow || ' ' || state FROM forge_wf.runs ORDER BY workflow, state",
                )
                .await;
            assert_eq!(states[..7], ["tree 14"; 7], "{variable} at {number}: {states:?}");
            assert!(
                states[7..].iter().all(|state| state.starts_with("waiting_child ") && !state.contains(" 1")),
                "{variable} at {number}: {states:?}"
            );
            assert_eq!(states.len(), 10, "{variable} at {number}: {states:?}");
        }
    };
    let points = [1, 2, 4, 7]
        .into_iter()
        .flat_map(|number| ["FORGE_WF_CRASH_BEFORE", "FORGE_WF_CRASH_AFTER"].map(|variable| point(variable, number)));
    join_all(points).await;
});
