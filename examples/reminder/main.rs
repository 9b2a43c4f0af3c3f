//! Timers that outlive their process.
//!
//! ```sh
//! cargo run --example reminder -- add "stretch" --every 2s --times 5
//! cargo run --example reminder                                      # delivers what is due, until Ctrl-C
//! ```
//!
//! Kill the second one with `kill -9` and start it again: no reminder is lost, none that was recorded comes twice, and what
//! was due meanwhile comes at once. The workflow is in `workflow.rs`.

mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Days, Local, NaiveDateTime, NaiveTime, Utc};
use clap::{Parser, Subcommand};
use forge_wf::{Client, Error, RunId, Runtime, Timestamp};

use workflow::{Log, PROGRESS, Plan, Progress, reminder};

const DATABASE: &str = "sqlite:reminder.db";
const LOG: &str = "reminder.txt";
/// A process that was killed holds its runs until its lease ends. Alone on its database, so a short one will do.
const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Shortest and longest time to the next reminder; a durable timer runs ten years at the most.
const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(9 * 365 * 86_400));

const FAILED: u8 = 1;

/// Reminds you, also of what was due while it did not run.
#[derive(Parser)]
#[command(name = "reminder")]
struct Arguments {
    /// Where to keep the reminders: `sqlite:path` or `postgres://user@host/database`.
    #[arg(long, global = true, value_name = "URL", default_value = DATABASE)]
    database: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Adds a reminder; `run` delivers it.
    Add(Add),
    /// Delivers what is due, until Ctrl-C; the same as no command.
    Run {
        /// The file to write reminders to, besides the terminal.
        #[arg(long, value_name = "FILE", default_value = LOG)]
        log: PathBuf,
    },
    /// Shows how far a reminder is.
    Show {
        /// The run, as `add` says it.
        run: RunId,
    },
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("when").args(["within", "at", "every"]).multiple(true).required(true))]
struct Add {
    /// What to remind of.
    text: String,
    /// How long until the first one, as in `1h 30min`.
    #[arg(long = "in", value_name = "TIME", value_parser = duration, conflicts_with = "at")]
    within: Option<Duration>,
    /// When the first one is due, in local time: `09:00` (the next time it is) or `2030-01-31 09:00`.
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    at: Option<Timestamp>,
    /// Time from one to the next, and to the first if neither --in nor --at is given.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "times")]
    every: Option<Duration>,
    /// How many.
    #[arg(long, value_name = "N", requires = "every", value_parser = clap::value_parser!(u32).range(1..))]
    times: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { database, command } = Arguments::parse();
    let done = match command.unwrap_or_else(|| Command::Run { log: LOG.into() }) {
        Command::Add(add) => self::add(&database, add).await,
        Command::Run { log } => run(&database, log).await,
        Command::Show { run } => show(&database, run).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Starts a run for a reminder, from a process that runs none: it is kept until `run` serves it.
async fn add(database: &str, add: Add) -> Result<(), Error> {
    let every = add.every.unwrap_or_default();
    let first = add.at.unwrap_or_else(|| Utc::now() + add.within.unwrap_or(every));
    let plan = Plan { text: add.text, first, every, times: add.times.unwrap_or(1), delivered: 0 };
    let client = Client::connect(database).await?;
    let run = client.start(reminder, plan.clone()).await?;
    client.close().await;
    let program = std::env::args().next().unwrap_or_else(|| "reminder".into());
    let database = if database == DATABASE { String::new() } else { format!(" --database '{database}'") };
    println!("added run {}: {}", run.id(), told(&plan));
    println!("  {program} run{database}  # delivers it");
    println!("  {program} show {}{database}", run.id());
    Ok(())
}

/// Serves until told to end.
async fn run(database: &str, log: PathBuf) -> Result<(), Error> {
    let told = format!("reminding, also in {}; Ctrl-C ends", log.display());
    let log = Log::open(log).map_err(|error| Error::Misconfigured(format!("{error}; name another file with --log")))?;
    let runtime = Runtime::builder().database(database).state(log).lease(LEASE).heartbeat(HEARTBEAT).build().await?;
    println!("{told}");
    runtime.run_until_signal().await?;
    println!("stopped; what is due meanwhile comes when this is started again");
    Ok(())
}

async fn show(database: &str, run: RunId) -> Result<(), Error> {
    let client = Client::connect(database).await?;
    let run = client.run::<()>(run).await?;
    let status = run.status().await?;
    println!("run {} is {status}", run.id());
    match run.state::<Progress>(PROGRESS).await? {
        None => println!("not begun: nobody has served it yet"),
        Some(Progress { delivered, plan }) => {
            println!("{}", told(&plan));
            println!("delivered: {delivered} of {}", plan.times);
            if !status.is_ended() {
                println!("next: {}", time(plan.due(delivered)));
            }
        }
    }
    if let Some(problem) = run.problem().await? {
        println!("problem: {problem}");
    }
    if status.is_ended() {
        run.result().await?;
    }
    client.close().await;
    Ok(())
}

fn told(plan: &Plan) -> String {
    let (text, first) = (&plan.text, time(plan.first));
    match plan.times {
        1 => format!("{text}, {first}"),
        times => format!("{text}, {first} and then every {}, {times} times", humantime::format_duration(plan.every)),
    }
}

fn time(time: Timestamp) -> impl std::fmt::Display {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S")
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < EVERY.0 || duration > EVERY.1 {
        return Err("must be between 100ms and 9 years".into());
    }
    Ok(duration)
}

/// A moment to come, in local time.
fn moment(text: &str) -> Result<Timestamp, String> {
    let now = Local::now();
    let moment = match NaiveTime::parse_from_str(text, "%H:%M") {
        Ok(time) if time > now.time() => now.date_naive().and_time(time),
        Ok(time) => (now.date_naive() + Days::new(1)).and_time(time),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
            .map_err(|_| "write it like 09:00 or 2030-01-31 09:00")?,
    };
    let moment: DateTime<Local> = moment.and_local_timezone(Local).earliest().ok_or("the clocks skip this time")?;
    match (moment - now).to_std() {
        Err(_) => Err("lies in the past".into()),
        Ok(wait) if wait > EVERY.1 => Err("must be within 9 years".into()),
        Ok(_) => Ok(moment.to_utc()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn contracts_are_kept() {
        forge_wf::contract::assert_lock!();
    }
}
