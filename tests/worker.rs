//! A worker process for the tests that kill, freeze and replace processes.
//!
//! `worker URL serve` serves until a signal. `worker URL start COUNT LOG` starts COUNT runs of `three`, keyed, and waits
//! for all; `worker URL ten COUNT LOG` the same with `ten`, `worker URL everything COUNT LOG` with `everything`, to whose runs it
//! sends what they wait for, `worker URL trip COUNT LOG` with trips of five legs that fail and are undone, the same with
//! `divided_trip`, `fickle_trip` and `deliver`, `worker URL doomed COUNT LOG` with a run that takes its process down and COUNT innocent ones.
//! `worker URL tree 1` kills a run with children and waits until all that are not detached have ended.
//! `worker URL keepsakes` makes the runs of a fixture. Each prints `ready` once it serves and `done` at the end.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Filter, Status};
use forge_wf_tests::family::tree;
use forge_wf_tests::keepsake::keepsake;
use forge_wf_tests::undoing::{Trip, TripEnd, doomed_trip};
use forge_wf_tests::waiting::{Approved, Counted, everything};
use forge_wf_tests::workflows::{Job, ten, three};
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    // A process that is killed again and again is to blame for what the other modes run.
    let deaths = if args[1] == "doomed" { 2 } else { 100 };
    let rt = Runtime::builder()
        .database(&args[0])
        .lease(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(500))
        .poll_interval(Duration::from_millis(50))
        .takeovers_max(deaths)
        .build()
        .await?;
    println!("ready");
    let (mode, count) = (args[1].as_str(), args.get(2).map_or(Ok(0), |text| text.parse::<u64>())?);
    let job = |n| Job { log: args.get(3).cloned().unwrap_or_default(), n };
    match mode {
        "serve" => return Ok(rt.run_until_signal().await?),
        "start" => {
            let starts = (0..count).map(|n| {
                let start = rt.start(three, job(n)).key(format!("k{n}"));
                async { start.await?.result().await }
            });
            check(&try_join_all(starts).await?, 3);
        }
        "ten" => {
            let starts = (0..count).map(|n| {
                let start = rt.start(ten, job(n)).key(format!("k{n}"));
                async { start.await?.result().await }
            });
            check(&try_join_all(starts).await?, 10);
        }
        "everything" => {
            let starts = (0..count).map(|n| {
                let (start, rt) = (rt.start(everything, job(n)).key(format!("k{n}")), &rt);
                async move {
                    let run = start.await?;
                    for event in [100, 1_000] {
                        // After a crash the run may have it already, or have ended.
                        match rt.send_event(&run, Counted(event)).id(event.to_string()).await {
                            Ok(_) | Err(forge_wf::Error::RunEnded { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    run.result().await
                }
            });
            check(&try_join_all(starts).await?, 1_106);
        }
        "trip" | "divided_trip" | "fickle_trip" | "deliver" => {
            let starts = (0..count).map(|n| {
                let trip = serde_json::to_value(Trip { log: args[3].clone(), legs: 5, end: TripEnd::Fails });
                let start = rt.client().start_by_name(mode, trip.expect("plain data")).key(format!("k{n}"));
                async move {
                    match start.await?.result().await {
                        Err(forge_wf::Error::RunFailed { status: Status::Compensated, .. }) => Ok(()),
                        other => Err(format!("it ended otherwise: {other:?}").into()),
                    }
                }
            });
            try_join_all(starts).await.map_err(|error: Box<dyn std::error::Error>| error)?;
        }
        "tree" => {
            let run = rt.start(tree, 2).key("root").await?;
            let client = rt.client();
            let of = async |status| {
                let page = client.list(&Filter::new().workflow("tree").status(status)).await?;
                Ok::<_, forge_wf::Error>(page.runs.len())
            };
            // Those at the bottom wait; after a crash the root may have ended.
            while of(Status::Waiting).await? < 7 && !run.status().await?.is_ended() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match run.kill("enough").await {
                Ok(()) | Err(forge_wf::Error::RunEnded { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            while of(Status::Killed).await? < 7 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        "keepsakes" => {
            let mut runs = Vec::new();
            for n in 0..3 {
                runs.push(rt.start(keepsake, n).await?);
            }
            let _ = runs[1].result().await;
            rt.send_event(&runs[2], Approved { by: "the same build".into() }).await?;
            runs[2].result().await?;
            while runs[0].status().await? != Status::Waiting {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        "doomed" => {
            let doomed = rt.start(doomed_trip, args[3].clone()).key("doomed").await?;
            let starts = (0..count).map(|n| {
                let start = rt.start(three, Job { log: String::new(), n }).key(format!("k{n}"));
                async { start.await?.result().await }
            });
            check(&try_join_all(starts).await?, 3);
            match doomed.result().await {
                Err(forge_wf::Error::RunFailed { status: Status::Compensated, failure, .. })
                    if failure.code() == Some("poison") => {}
                other => return Err(format!("it ended otherwise: {other:?}").into()),
            }
        }
        other => return Err(format!("unknown mode {other}").into()),
    }
    rt.shutdown().await;
    println!("done");
    Ok(())
}

fn check(results: &[u64], steps: u64) {
    for (n, result) in (0u64..).zip(results) {
        assert_eq!(*result, n + steps, "the result of run {n}");
    }
}
