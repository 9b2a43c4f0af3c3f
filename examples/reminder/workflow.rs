//! The workflow: sleep until a reminder is due, deliver it, go on to the next.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{Local, Utc};
use forge_wf::Timestamp;
use forge_wf::prelude::*;

/// Under which name a run publishes how far it is.
pub const PROGRESS: &str = "progress";
/// After so many reminders a run begins a new journal, so that none grows long, however often it reminds.
const PER_JOURNAL: u32 = 10;
/// A reminder that comes later than this says so.
const LATE: Duration = Duration::from_secs(1);

/// What to remind of and when: the input of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What to remind of.
    pub text: String,
    /// When the first one is due.
    pub first: Timestamp,
    /// Time from one to the next.
    pub every: Duration,
    /// How many there are.
    pub times: u32,
    /// How many were delivered before this journal began.
    pub delivered: u32,
}

impl Plan {
    /// When the one after `delivered` is due. Counted from the first and not from the one before, so lateness does not add up.
    pub fn due(&self, delivered: u32) -> Timestamp {
        self.first + self.every * delivered
    }
}

/// How far a run is, for whoever looks at it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// How many were delivered.
    pub delivered: u32,
    /// The whole plan.
    pub plan: Plan,
}

/// Reminds until all is delivered.
#[workflow(version = "1")]
pub async fn reminder(ctx: &WorkflowContext, plan: Plan) -> Result<()> {
    let mut delivered = plan.delivered;
    loop {
        ctx.save_state(PROGRESS, &Progress { delivered, plan: plan.clone() })?;
        if delivered == plan.times {
            return Ok(());
        }
        if delivered == plan.delivered + PER_JOURNAL {
            return ctx.continue_as_new(Plan { delivered, ..plan }).await;
        }
        // A row in the database: it needs no process until it is due, and if there is none then, it comes as soon as there is.
        ctx.sleep_until(plan.due(delivered)).await?;
        delivered += 1;
        deliver(ctx, &plan, delivered).await?;
    }
}

/// Delivers reminder `number`. Once it is recorded it never runs again. A crash before that delivers twice, and that is meant:
/// better reminded twice than never. (The example `approval` has a step that tells such a repetition apart.)
#[step(retry(max = 5, backoff = "200ms..5s"))]
pub async fn deliver(#[state] log: &Log, plan: &Plan, number: u32) -> Result<()> {
    let now = Utc::now();
    let late = (now - plan.due(number - 1)).to_std().unwrap_or_default();
    let late = if late > LATE {
        let seconds = Duration::from_secs(late.as_secs());
        format!(", {} late", humantime::format_duration(seconds))
    } else {
        String::new()
    };
    let now = now.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
    let line = format!("{now}  {} ({number} of {}{late})", plan.text, plan.times);
    log.add(&line)?;
    println!("{line}");
    Ok(())
}

/// A text file with a line for every reminder.
pub struct Log(PathBuf);

impl Log {
    /// Makes sure that it can be written before there is anything to write.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let log = Self(path);
        log.file()?;
        Ok(log)
    }

    fn file(&self) -> io::Result<File> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot write to {}: {error}", self.0.display()));
        OpenOptions::new().create(true).append(true).open(&self.0).map_err(told)
    }

    fn add(&self, line: &str) -> io::Result<()> {
        let mut file = self.file()?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    }
}
