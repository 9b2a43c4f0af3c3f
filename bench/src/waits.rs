//! Runs that wait: how late they wake, how long an event takes, what they cost in memory and in replays.

use std::time::{Duration, Instant};

use forge_wf::prelude::*;
use forge_wf::{RunHandle, RuntimeBuilder, Timestamp};
use futures::stream::{self, StreamExt, TryStreamExt};
use sqlx::{Connection, query_scalar};

use crate::measure::{quantile, resident_bytes};
use crate::report::Report;
use crate::{Result, is_postgres};

/// Sleeps for so many milliseconds.
#[workflow(version = "1")]
async fn naps(ctx: &WorkflowContext, millis: u64) -> forge_wf::Result<()> {
    ctx.sleep(Duration::from_millis(millis)).await
}

/// Sleeps until then.
#[workflow(version = "1")]
async fn naps_until(ctx: &WorkflowContext, time: Timestamp) -> forge_wf::Result<()> {
    ctx.sleep_until(time).await
}

/// Something happened.
#[derive(Serialize, Deserialize, Event)]
struct Ping(u64);

/// One recorded answer.
#[step]
async fn pong(n: u64) -> forge_wf::Result<u64> {
    Ok(n + 1)
}

/// Waits for an event and answers it in a step.
#[workflow(version = "1")]
async fn answers(ctx: &WorkflowContext) -> forge_wf::Result<u64> {
    let ping = ctx.wait_for_event::<Ping>().await?;
    pong(ctx, ping.0).await
}

/// Undoes a booking.
#[step]
async fn unbook(n: u64) -> forge_wf::Result<()> {
    let _ = n;
    Ok(())
}

/// Something to undo.
#[step(compensate = unbook)]
async fn book() -> forge_wf::Result<u64> {
    Ok(17)
}

/// Does something that can be undone, and then waits for an event or for a day.
#[workflow(version = "1")]
async fn books_and_waits(ctx: &WorkflowContext, asleep: bool) -> forge_wf::Result<()> {
    book(ctx).await?;
    if asleep {
        return ctx.sleep(days(1)).await;
    }
    ctx.wait_for_event::<Ping>().await.map(drop)
}

/// Waits for this many events, one after the other.
#[workflow(version = "1")]
async fn chats(ctx: &WorkflowContext, waits: u64) -> forge_wf::Result<u64> {
    let mut heard = 0;
    for _ in 0..waits {
        heard += ctx.wait_for_event::<Ping>().await?.0;
        ctx.save_state("heard", &heard)?;
    }
    Ok(heard)
}

/// The database under test.
pub struct Waits<'a> {
    pub url: &'a str,
    pub quick: bool,
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

impl Waits<'_> {
    fn builder(&self) -> RuntimeBuilder {
        // Nothing here needs state, but the other workflows of this program do.
        Runtime::builder().database(self.url).state(crate::engine::closed_gate())
    }

    fn row(report: &mut Report, what: &str, times: &[Duration]) {
        let worst = quantile(times, 1.0);
        for (name, at) in [("p50", 0.5), ("p99", 0.99)] {
            let note = if name == "p99" { format!("worst {}", millis(worst)) } else { String::new() };
            report.row(&format!("{what}, {name}"), millis(quantile(times, at)), String::new(), String::new(), note);
        }
    }

    /// From the due time of each run's timer to its end being committed, by the database's clock.
    async fn lags(&self, workflow: &str) -> Result<Vec<Duration>> {
        let micros: Vec<i64> = if is_postgres(self.url) {
            let lags = query_scalar(
                "SELECT (extract(epoch FROM run.ended_at - timer.due_at) * 1000000)::int8
                 FROM forge_wf.runs AS run JOIN forge_wf.journal AS timer ON timer.run_id = run.id AND timer.key = 'sleep'
                 WHERE run.workflow = $1 AND run.state = 10",
            );
            lags.bind(workflow).fetch_all(&mut sqlx::PgConnection::connect(self.url).await?).await?
        } else {
            let lags = query_scalar(
                "SELECT run.ended_at - timer.due_at
                 FROM forge_wf_runs AS run JOIN forge_wf_journal AS timer ON timer.run_id = run.id AND timer.key = 'sleep'
                 WHERE run.workflow = ?1 AND run.state = 10",
            );
            lags.bind(workflow).fetch_all(&mut sqlx::SqliteConnection::connect(self.url).await?).await?
        };
        Ok(micros.into_iter().map(|micros| Duration::from_micros(micros.max(0).unsigned_abs())).collect())
    }

    /// A thousand runs that each sleep 2 s; with the worker as it comes, and with one that releases at every wait.
    pub async fn w4(&self, report: &mut Report) -> Result<()> {
        for (released, name) in [(false, "in memory"), (true, "released")] {
            let builder = if released { self.builder().park_for(Duration::ZERO) } else { self.builder() };
            let runtime = builder.build().await?;
            let before = self.lags("naps").await?.len();
            let runs: Vec<RunHandle<()>> = stream::iter(0..1_000)
                .map(|_| runtime.start(naps, 2_000).into_future())
                .buffer_unordered(256)
                .try_collect()
                .await?;
            for run in runs {
                run.result().await?;
            }
            let lags = self.lags("naps").await?;
            Self::row(report, &format!("W4 wake lag of 1,000 runs that sleep 2 s, {name}"), &lags[before..]);
            runtime.shutdown().await;
        }
        Ok(())
    }

    /// Ten thousand timers due at the same moment.
    pub async fn timers(&self, report: &mut Report) -> Result<()> {
        let count = if self.quick { 2_000 } else { 10_000 };
        let runtime = self.builder().build().await?;
        let due = chrono::Utc::now() + Duration::from_millis(count * 3 / 2 + 3_000);
        let runs: Vec<RunHandle<()>> = stream::iter(0..count)
            .map(|_| runtime.start(naps_until, due).into_future())
            .buffer_unordered(256)
            .try_collect()
            .await?;
        let early = (due - chrono::Utc::now()).to_std();
        for run in runs {
            run.result().await?;
        }
        let lags = self.lags("naps_until").await?;
        Self::row(report, &format!("wake lag of {count} timers due at once"), &lags);
        if early.is_err() {
            report.note("The timers were due before all of them had been started.".into());
        }
        runtime.shutdown().await;
        Ok(())
    }

    /// From sending an event to the step that answers it being committed.
    pub async fn events(&self, report: &mut Report) -> Result<()> {
        let rounds = if self.quick { 200 } else { 1_000 };
        let runtime = self.builder().build().await?;
        let client = Client::connect(self.url).await?;
        for (outside, name) in [(false, "same process"), (true, "through a client's own connections")] {
            let mut times = Vec::new();
            for n in 0..rounds {
                let run = runtime.start(answers, ()).await?;
                while run.status().await? != forge_wf::Status::Waiting {
                    tokio::task::yield_now().await;
                }
                let begin = Instant::now();
                if outside {
                    client.send_event(&run, Ping(n)).await?;
                } else {
                    runtime.send_event(&run, Ping(n)).await?;
                }
                run.result().await?;
                times.push(begin.elapsed());
            }
            Self::row(report, &format!("event sent to answering step committed, {name}"), &times);
        }
        client.close().await;
        runtime.shutdown().await;
        Ok(())
    }

    /// From ordering a cancel to the run having ended, what it did undone; of runs in memory, and of runs asleep out of it.
    pub async fn cancels(&self, report: &mut Report) -> Result<()> {
        let rounds = if self.quick { 100 } else { 500 };
        let runtime = self.builder().build().await?;
        let client = Client::connect(self.url).await?;
        for (outside, asleep, name) in [
            (false, false, "waiting in memory, same process"),
            (true, false, "waiting in memory, through a client's own connections"),
            (true, true, "asleep for a day, through a client's own connections"),
        ] {
            let mut times = Vec::new();
            for _ in 0..rounds {
                let run = runtime.start(books_and_waits, asleep).await?;
                let status = if asleep { forge_wf::Status::Sleeping } else { forge_wf::Status::Waiting };
                while run.status().await? != status {
                    tokio::task::yield_now().await;
                }
                let client = if outside { client.clone() } else { runtime.client() };
                let begin = Instant::now();
                client.cancel(&run, "measured").await?;
                match run.result().await {
                    Err(forge_wf::Error::RunFailed { status: forge_wf::Status::Cancelled, .. }) => {}
                    other => return Err(format!("a cancelled run ended otherwise: {other:?}").into()),
                }
                times.push(begin.elapsed());
            }
            Self::row(report, &format!("cancel ordered to run undone and ended, {name}"), &times);
        }
        client.close().await;
        runtime.shutdown().await;
        Ok(())
    }

    /// A run of 500 waits, in memory and released at every wait.
    pub async fn chatty(&self, report: &mut Report) -> Result<()> {
        for (released, name) in [(false, "in memory"), (true, "released at every wait")] {
            let builder = if released { self.builder().park_for(Duration::ZERO) } else { self.builder() };
            let runtime = builder.build().await?;
            let run = runtime.start(chats, 500).await?;
            let begin = Instant::now();
            for n in 1..=500_u64 {
                runtime.send_event(&run, Ping(1)).await?;
                while n < 500 && run.state::<u64>("heard").await?.unwrap_or_default() < n {
                    tokio::task::yield_now().await;
                }
            }
            run.result().await?;
            let replayed = format!("{} entries replayed", run.counts().replayed);
            report.row(
                &format!("a run of 500 waits, {name}"),
                millis(begin.elapsed() / 500),
                String::new(),
                String::new(),
                replayed,
            );
            runtime.shutdown().await;
        }
        Ok(())
    }

    /// Resident memory of a worker whose runs all sleep.
    pub async fn sleepers(&self, report: &mut Report) -> Result<()> {
        let count: u64 = if self.quick { 10_000 } else { 100_000 };
        let runtime = self.builder().build().await?;
        stream::iter(0..count)
            .map(|_| async { runtime.start(naps, 86_400_000).await.map(drop) })
            .buffer_unordered(128)
            .try_collect::<()>()
            .await?;
        // What is released is written.
        tokio::time::sleep(Duration::from_secs(3)).await;
        if let Some(bytes) = resident_bytes() {
            let shown = format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
            report.row(
                &format!("the whole worker, {count} runs asleep"),
                shown,
                String::new(),
                String::new(),
                String::new(),
            );
        }
        runtime.shutdown().await;
        Ok(())
    }
}
