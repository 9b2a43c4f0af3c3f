//! Compares forge-wf with the floor, both in one process on one database, in rounds. `scripts/bench` runs it on both backends.
//!
//! Takes an address and prints a table. Only ratios within one run mean anything: the machine may be busy with other things.

mod cost;
mod engine;
mod floor;
mod floor_postgres;
mod floor_sqlite;
mod measure;
mod phases;
mod report;
mod waits;

use std::path::Path;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use phases::Phases;
use report::Report;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Resident memory of runs in flight. First, while the allocator has kept nothing from others.
    Memory,
    /// Runs of 3 steps per second.
    W1,
    /// Runs of 10 steps per second.
    W3,
    /// Latency of a run of 1 step.
    W2,
    /// Processor time of a run; on PostgreSQL also its commits and write-ahead log.
    Cost,
    /// How late runs wake that sleep for 2 s.
    W4,
    /// How late timers fire that are all due at once.
    Timers,
    /// From an event to the step that answers it.
    Events,
    /// From a cancel to the end of the run.
    Cancels,
    /// A run that waits very often.
    Chatty,
    /// Resident memory of a worker whose runs all sleep. Last, since it leaves them in the database.
    Sleepers,
}

/// Compares forge-wf with the floor: the same work by hand with sqlx, as durable, without an engine.
#[derive(Parser)]
struct Args {
    /// The database, as in postgres://user@host/database or sqlite:file.db. Default: a new SQLite file.
    #[arg(env = "FORGE_WF_BENCH_URL")]
    url: Option<String>,
    /// Shorter phases and fewer runs.
    #[arg(long)]
    quick: bool,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    only: Vec<Phase>,
    /// Rounds of floor and engine in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of one side of a round.
    #[arg(long)]
    seconds: Option<f64>,
    /// Leaves the floor out of W1 and W3, for a profiler.
    #[arg(long)]
    without_floor: bool,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn wants(&self, phase: Phase) -> bool {
        self.only.is_empty() || self.only.contains(&phase)
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if self.quick { 1.0 } else { 3.0 }))
    }
}

/// 100 bytes of JSON.
fn input() -> String {
    "i".repeat(98)
}

/// 20 bytes of JSON.
fn output(step: usize) -> String {
    format!("{step:018}")
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    // Beside the build, and not where temporary files go: that is memory on many machines, where every sync is free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let url = args.url.clone().unwrap_or_else(|| format!("sqlite:{}", folder.path().join("bench.db").display()));
    let mut report = Report::new(&url).await?;
    let phases = Phases::new(&args, &url).await?;
    phases.measure(&mut report).await?;
    println!("{report}");
    Ok(())
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Whether a PostgreSQL is on this machine, as far as its address tells.
fn is_here(url: &str) -> bool {
    ["@localhost", "@127.0.0.1", "//localhost", "//127.0.0.1"].iter().any(|host| url.contains(host))
}

/// The file an SQLite address names, and beside it the floor's: one file has one writer, so they cannot share.
fn floor_file(url: &str) -> String {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = Path::new(path.split('?').next().unwrap_or(path));
    path.with_extension("floor.db").display().to_string()
}
