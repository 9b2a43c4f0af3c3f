//! The workflow: ask, wait for an answer until the deadline, act on it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use forge_wf::Timestamp;
use forge_wf::prelude::*;

/// Under which name a run publishes what it has asked.
pub const QUESTION: &str = "question";

/// What to ask: the input of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// What is to be approved.
    pub what: String,
    /// How long anybody has to answer.
    pub within: Duration,
}

/// What was asked, for whoever looks at the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// What is to be approved.
    pub what: String,
    /// Until when it can be answered.
    pub until: Timestamp,
}

/// The answer: an event, sent to the run by another process.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
pub enum Answer {
    /// Go ahead.
    Approved { by: String },
    /// Do not.
    Declined { by: String, reason: Option<String> },
}

/// What became of a request: the output of a run. `None` if nobody answered in time.
pub type Outcome = Option<Answer>;

/// Asks, and books what was approved.
#[workflow(version = "1")]
pub async fn approval(ctx: &WorkflowContext, request: Request) -> Result<Outcome> {
    let Request { what, within } = request;
    ctx.save_state(QUESTION, &Question { what: what.clone(), until: ctx.now() + within })?;
    // The deadline is a row in the database, as is an answer that came while no process ran: neither needs this one alive.
    match ctx.wait_for_event::<Answer>().timeout(within).await {
        Ok(answer) => {
            if let Answer::Approved { by } = &answer {
                book(ctx, &what, by).await?;
            }
            Ok(Some(answer))
        }
        Err(late) if late.is_timeout() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Writes what was approved into the book, once: a crash may run a step again, so each line carries the step's key, which is
/// the same for every attempt.
#[step(retry(max = 5, backoff = "200ms..5s"))]
pub async fn book(ctx: &StepContext, #[state] book: &Book, what: &str, by: &str) -> Result<()> {
    book.add(&ctx.idempotency_key(), &format!("{what}, approved by {by}"))?;
    println!("booked in {}", book.0.display());
    Ok(())
}

/// A text file with a line for everything that was approved.
pub struct Book(PathBuf);

impl Book {
    /// Makes sure that it can be written before anything is approved.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let book = Self(path);
        book.file()?;
        Ok(book)
    }

    fn file(&self) -> io::Result<File> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot book in {}: {error}", self.0.display()));
        OpenOptions::new().create(true).read(true).append(true).open(&self.0).map_err(told)
    }

    fn add(&self, key: &str, entry: &str) -> io::Result<()> {
        let mut file = self.file()?;
        let mut booked = String::new();
        file.read_to_string(&mut booked)?;
        if !booked.lines().any(|line| line.starts_with(key)) {
            file.write_all(format!("{key}\t{entry}\n").as_bytes())?;
            file.sync_all()?;
        }
        Ok(())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approved { by } => write!(f, "approved by {by}"),
            Self::Declined { by, reason: None } => write!(f, "declined by {by}"),
            Self::Declined { by, reason: Some(reason) } => write!(f, "declined by {by}: {reason}"),
        }
    }
}
