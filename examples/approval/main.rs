//! A question that waits for a person, and what forge-wf makes of it: an event from another process, a deadline, and no
//! process that has to live through either.
//!
//! ```sh
//! cargo run --example approval -- request "200 € for a new chair" --within 1h
//! cargo run --example approval -- approve RUN --by Ada          # in another terminal; `request` says the id of RUN
//! ```
//!
//! Kill `request` with `kill -9` and give the same command again: it is the same run with the same deadline, and an answer
//! that came meanwhile counts. The workflow is in `workflow.rs`.

mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{Local, Utc};
use clap::{Parser, Subcommand};
use forge_wf::{Client, Error, RunHandle, RunId, Runtime};

use workflow::{Answer, Book, Outcome, QUESTION, Question, Request, approval};

const DATABASE: &str = "sqlite:approval.db";
/// A process that was killed holds its run until its lease ends. Alone on its database, so a short one will do.
const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long whoever answers waits to hear what becomes of it.
const HEAR_WITHIN: Duration = Duration::from_secs(5);

const FAILED: u8 = 1;
const NOT_APPROVED: u8 = 3;
/// What a shell makes of Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Asks for an approval, waits for the answer, and survives being killed meanwhile.
#[derive(Parser)]
#[command(name = "approval")]
struct Arguments {
    /// Where to keep the runs: `sqlite:path` or `postgres://user@host/database`.
    #[arg(long, global = true, value_name = "URL", default_value = DATABASE)]
    database: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks, waits for the answer, and books what was approved.
    ///
    /// Given again with the same text (or --key) it is the same request: it waits on, and the deadline stays. Exits with 0 if it
    /// was approved, 3 if it was declined or nobody answered in time, 130 after Ctrl-C.
    Request {
        /// What is to be approved.
        what: String,
        /// How long anybody has to answer, as in `1h 30min`.
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        within: Duration,
        /// What makes it the same request when it is given again [default: the text]
        #[arg(long, value_name = "NAME")]
        key: Option<String>,
        /// The file to book in.
        #[arg(long, value_name = "FILE", default_value = "approval.txt")]
        book: PathBuf,
    },
    /// Says yes. Of several answers the first counts.
    Approve {
        /// The run, as `request` says it.
        run: RunId,
        #[command(flatten)]
        person: Person,
    },
    /// Says no. Of several answers the first counts.
    Decline {
        /// The run, as `request` says it.
        run: RunId,
        #[command(flatten)]
        person: Person,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Shows a request: what it asks, until when, and what became of it.
    Show {
        /// The run, as `request` says it.
        run: RunId,
    },
}

#[derive(clap::Args)]
struct Person {
    /// Who answers.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    by: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { database, command } = Arguments::parse();
    let done = match command {
        Command::Request { what, within, key, book } => {
            let key = key.unwrap_or_else(|| what.clone());
            request(&database, Request { what, within }, key, book).await
        }
        Command::Approve { run, person } => answer(&database, run, Answer::Approved { by: person.by }).await,
        Command::Decline { run, person, reason } => {
            answer(&database, run, Answer::Declined { by: person.by, reason }).await
        }
        Command::Show { run } => show(&database, run).await,
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Starts the run, or finds it again by its key, and sees it through.
async fn request(database: &str, request: Request, key: String, book: PathBuf) -> Result<u8, Error> {
    let book =
        Book::open(book).map_err(|error| Error::Misconfigured(format!("{error}; name another file with --book")))?;
    let runtime = Runtime::builder().database(database).state(book).lease(LEASE).heartbeat(HEARTBEAT).build().await?;
    let run = runtime.start(approval, request).key(key).await?;
    let outcome = tokio::select! {
        outcome = ask_and_wait(&run, database) => Some(outcome),
        _ = tokio::signal::ctrl_c() => None,
    };
    runtime.shutdown().await;
    let Some(outcome) = outcome.transpose()? else {
        println!("stopped; the deadline stays and answers are kept: the same command waits on");
        return Ok(INTERRUPTED);
    };
    println!("{}", told(&outcome));
    Ok(if matches!(outcome, Some(Answer::Approved { .. })) { 0 } else { NOT_APPROVED })
}

async fn ask_and_wait(run: &RunHandle<Outcome>, database: &str) -> Result<Outcome, Error> {
    let (id, verb) = (run.id(), if run.created() { "asked" } else { "asked before" });
    if run.status().await?.is_ended() {
        println!("{verb}, as run {id}, which has ended; to ask anew, give another --key");
        return run.result().await;
    }
    let question = tokio::select! {
        question = question(run) => question?,
        outcome = run.result() => return outcome,
    };
    let program = std::env::args().next().unwrap_or_else(|| "approval".into());
    let database = if database == DATABASE { String::new() } else { format!(" --database '{database}'") };
    println!("{verb}, as run {id}: {}", question.what);
    println!("open until {}; to answer, in another terminal:", time(&question));
    println!("  {program} approve {id} --by NAME{database}");
    println!("  {program} decline {id} --by NAME --reason WHY{database}");
    run.result().await
}

/// What the run has asked, as soon as it has.
async fn question(run: &RunHandle<Outcome>) -> Result<Question, Error> {
    loop {
        match run.state(QUESTION).await? {
            Some(question) => return Ok(question),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Sends the answer, from a process that runs no workflow.
async fn answer(database: &str, run: RunId, answer: Answer) -> Result<u8, Error> {
    let client = Client::connect(database).await?;
    // All answers have the same id, so only the first one reaches the run, however many are sent.
    client.send_event(run, answer).id("answer").await?;
    let run = client.run::<Outcome>(run).await?;
    match tokio::time::timeout(HEAR_WITHIN, run.result().or_blocked()).await {
        // Not our answer, if another one was faster.
        Ok(Ok(outcome)) => println!("{}", told(&outcome)),
        Err(_) | Ok(Err(Error::RunBlocked { .. })) => {
            println!(
                "the answer is kept, but nobody waits for it now; it counts when the same `request` is given again"
            );
        }
        Ok(Err(error)) => return Err(error),
    }
    client.close().await;
    Ok(0)
}

async fn show(database: &str, run: RunId) -> Result<u8, Error> {
    let client = Client::connect(database).await?;
    let run = client.run::<Outcome>(run).await?;
    let status = run.status().await?;
    println!("run {} is {status}", run.id());
    if let Some(question) = run.state::<Question>(QUESTION).await? {
        println!("it asks: {}", question.what);
        if !status.is_ended() {
            println!("open until {}", time(&question));
        }
    }
    if let Some(problem) = run.problem().await? {
        println!("problem: {problem}");
    }
    for event in client.untaken_events(run.id()).await? {
        println!("not taken yet: {} {}", event.name, event.payload);
    }
    if status.is_ended() {
        println!("{}", told(&run.result().await?));
    }
    client.close().await;
    Ok(0)
}

/// A durable timer runs ten years at the most.
fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(9 * 365 * 86_400);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration <= LONGEST { Ok(duration) } else { Err("must be at most 9 years".into()) }
}

fn told(outcome: &Outcome) -> String {
    outcome.as_ref().map_or_else(|| "nobody answered in time".into(), Answer::to_string)
}

fn time(question: &Question) -> String {
    let local = question.until.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
    match (question.until - Utc::now()).to_std() {
        Ok(left) => format!("{local} ({} left)", humantime::format_duration(Duration::from_secs(left.as_secs()))),
        Err(_) => format!("{local} (over)"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn contracts_are_kept() {
        forge_wf::contract::assert_lock!();
    }
}
