//! A failed order that undoes what it did, also if it is killed in the middle of that.
//!
//! ```sh
//! cargo run --example order -- place "a desk" --cents 12900                     # reserved, charged, shipped
//! cargo run --example order -- place "a desk" --cents 12900 --lost --slow 1s    # the parcel is lost: all of it is undone
//! cargo run --example order                                                     # finishes what was killed
//! ```
//!
//! Kill the second one with `kill -9` at any moment, in the middle of the rollback say, and start the third: it finishes the
//! rollback, and what was recorded as undone is not undone again. The workflow is in `workflow.rs`.

mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use forge_wf::{Error, RunDetails, RunHandle, RunId, Runtime};

use workflow::{Books, Order, order};

const DATABASE: &str = "sqlite:order.db";
/// A process that was killed holds its runs until its lease ends. Alone on its database, so a short one will do.
const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(1);

const FAILED: u8 = 1;

/// A shop whose failed orders undo themselves.
#[derive(Parser)]
#[command(name = "order")]
struct Arguments {
    /// Where to keep the orders: `sqlite:path` or `postgres://user@host/database`.
    #[arg(long, global = true, value_name = "URL", default_value = DATABASE)]
    database: String,
    /// The file that shows what the shop did, in order.
    #[arg(long, global = true, value_name = "FILE", default_value = "order.txt")]
    books: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Places an order and sees it through.
    Place {
        /// What to order.
        item: String,
        /// What it costs, in cents.
        #[arg(long, value_name = "CENTS", default_value_t = 12_900)]
        cents: u64,
        /// The parcel gets lost: the last step fails.
        #[arg(long)]
        lost: bool,
        /// How long each step takes.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
        slow: Duration,
    },
    /// Goes on with what was killed, until Ctrl-C; the same as no command.
    Run,
    /// Asks an order to end, and to undo what it did.
    Cancel {
        /// The run, as `place` says it.
        run: RunId,
        /// Why.
        #[arg(long, default_value = "changed my mind")]
        reason: String,
    },
    /// Prints the journal of an order.
    Show {
        /// The run, as `place` says it.
        run: RunId,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(Arguments { database, books, command }: Arguments) -> Result<ExitCode, Error> {
    match command.unwrap_or(Command::Run) {
        Command::Place { item, cents, lost, slow } => {
            let runtime = shop(&database, books).await?;
            let run = runtime.start(order, Order { item, cents, lost, slow }).await?;
            println!("placed order {}", run.id());
            let code = see_through(&run).await?;
            runtime.shutdown().await;
            Ok(code)
        }
        Command::Run => {
            let runtime = shop(&database, books).await?;
            println!("serving orders; Ctrl-C ends");
            runtime.run_until_signal().await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Cancel { run, reason } => {
            let client = forge_wf::Client::connect(&database).await?;
            client.cancel(run, reason).by("the customer").await?;
            println!("order {run} is asked to end; a running shop undoes it");
            client.close().await;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { run } => {
            let client = forge_wf::Client::connect(&database).await?;
            print(&client.show(run).await?);
            client.close().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn shop(database: &str, books: PathBuf) -> Result<Runtime, Error> {
    let books =
        Books::open(books).map_err(|error| Error::Misconfigured(format!("{error}; name another file with --books")))?;
    Runtime::builder().database(database).state(books).lease(LEASE).heartbeat(HEARTBEAT).build().await
}

/// Waits for the end of an order, and prints its journal.
async fn see_through(run: &RunHandle<String>) -> Result<ExitCode, Error> {
    let code = match run.result().await {
        Ok(delivered) => {
            println!("delivered: {delivered}");
            ExitCode::SUCCESS
        }
        Err(Error::RunFailed { status, failure, .. }) => {
            println!("{status}: {failure}");
            ExitCode::from(FAILED)
        }
        Err(error) => return Err(error),
    };
    print(&run.show().await?);
    Ok(code)
}

fn print(run: &RunDetails) {
    println!("order {} is {}: {}", run.id, run.status, run.why);
    for entry in &run.entries {
        let undo = match (&entry.compensation, entry.undo) {
            (Some(step), Some(undo)) => format!("   undo by {step}: {undo}"),
            _ => String::new(),
        };
        let seq = entry.seq.map(|seq| seq.to_string()).unwrap_or_default();
        println!("  {seq:>3}  {:<9}  {}{undo}", entry.state, entry.call);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn contracts_are_kept() {
        forge_wf::contract::assert_lock!();
    }
}
