//! [`RunDetails`]: a run with its journal, for people.

use std::ops::Deref;

use serde::Serialize;

use super::error::Error;
use super::handle::Source;
use super::list::RunSummary;
use super::why::{why, why_unread};
use crate::journal::{Entry, EntryKind, EntryState, UndoState};
use crate::model::{Failure, Payload, RunId, Timestamp};
use crate::store::{RunView, StoreError};

/// A run with the journal of its present generation, as the database held both a moment ago. What stands in its row is read as
/// if it stood here: `details.status`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunDetails {
    /// What stands in its row.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The failure it ended with or turned back for, or what blocks it or keeps it waiting.
    pub failure: Option<Failure>,
    /// One sentence: what it waits for, why it is blocked, or how it ended, and the next move.
    pub why: String,
    /// Events in its inbox that no wait has taken, counted up to 1,000; [`Client::untaken_events`](crate::Client::untaken_events) shows them.
    pub events: u32,
    /// Its entries by seq; those without one last, by call. None if the journal cannot be read, which `why` says then.
    pub entries: Vec<EntryDetails>,
}

impl Deref for RunDetails {
    type Target = RunSummary;

    fn deref(&self) -> &RunSummary {
        &self.summary
    }
}

/// One operation of a run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EntryDetails {
    /// Which call, as in `step:charge#0`; what undoes it is `undo:step:charge#0`.
    pub call: String,
    /// What it records, as in `step`.
    pub kind: &'static str,
    /// How far it came: `started`, `completed`, `failed` or `abandoned`.
    pub state: &'static str,
    /// Place in the order in which results came about; none while there is none, and for what the body dropped.
    pub seq: Option<i32>,
    /// The saga it was called in, counted from 1 as they began, once it has its outcome; none for what the body itself calls.
    pub saga: Option<u32>,
    /// Attempts that ended.
    pub attempts: i32,
    /// When a timer fires or the next attempt is due.
    pub due_at: Option<Timestamp>,
    /// When it was recorded: a worker's estimate of the database's time.
    pub at: Timestamp,
    /// What came out, if it completed.
    pub output: Option<serde_json::Value>,
    /// The failure, of the last attempt if it will be tried again.
    pub failure: Option<Failure>,
    /// The step that undoes it, as in `step:refund`.
    pub compensation: Option<String>,
    /// What that step is given, by the names of its arguments; none if there is nothing to undo, or it could not be found out.
    pub compensation_args: Option<serde_json::Value>,
    /// How far undoing came: `open`, `done`, `failed` or `skipped`; none if there is nothing to undo, or nobody knows.
    pub undo: Option<&'static str>,
}

impl EntryDetails {
    fn of(entry: &Entry) -> Self {
        let value = |payload: &Payload| payload.decode().ok();
        Self {
            call: entry.call.to_string(),
            kind: match entry.kind {
                EntryKind::Start => "start",
                EntryKind::Step => "step",
                EntryKind::Sleep => "sleep",
                EntryKind::Event => "event",
                EntryKind::Child => "child",
                EntryKind::Undo => "undo",
                EntryKind::Resolve => "resolve",
                EntryKind::Unwind => "unwind",
                EntryKind::Move => "move",
                EntryKind::End => "end",
            },
            state: match entry.state {
                EntryState::Started => "started",
                EntryState::Completed => "completed",
                EntryState::Failed => "failed",
                EntryState::Abandoned => "abandoned",
            },
            seq: entry.seq,
            saga: Some(entry.scope.unsigned_abs()).filter(|saga| *saga > 0),
            attempts: entry.attempts,
            due_at: entry.due_at,
            at: entry.at,
            // Of a dropped call it only says since when nothing is left to undo.
            output: entry.output.as_ref().filter(|_| entry.settled_after().is_none()).and_then(value),
            failure: entry.read_failure(),
            // While nobody knows whether it was done, what is kept names the step itself.
            compensation: entry.undo_state.and(entry.undo.as_ref()).map(|undo| undo.step.clone()),
            compensation_args: entry
                .recipe()
                .and_then(|recipe| value(&recipe.undo.args))
                .filter(|args| !args.is_null()),
            undo: entry.undo_state.map(|state| match state {
                UndoState::Open | UndoState::Started => "open",
                UndoState::Done => "done",
                UndoState::Failed => "failed",
                UndoState::Skipped => "skipped",
            }),
        }
    }
}

impl RunDetails {
    /// With these entries, or without any and with what the database says of them.
    fn of(view: &RunView, entries: Result<&[Entry], &str>) -> Self {
        let (entries, why) = match entries {
            Ok(entries) => (entries, why(view, entries)),
            Err(said) => (&[][..], why_unread(view, said)),
        };
        Self {
            summary: RunSummary::of(view),
            failure: view.failure.as_ref().and_then(|failure| failure.decode().ok()),
            why,
            events: view.events,
            entries: entries.iter().map(EntryDetails::of).collect(),
        }
    }
}

impl Source {
    pub(crate) async fn show(&self, run: RunId) -> Result<RunDetails, Error> {
        let view = self.view(run).await?;
        match self.entries(&view).await {
            Ok(entries) => Ok(RunDetails::of(&view, Ok(&entries))),
            Err(error) => {
                // The database may be away, or back by now; it is the journal's fault if the row can be read, and it still cannot.
                let Ok(view) = self.view(run).await else { return Err(error.into()) };
                match self.entries(&view).await {
                    Ok(entries) => Ok(RunDetails::of(&view, Ok(&entries))),
                    Err(error) => Ok(RunDetails::of(&view, Err(&error.to_string()))),
                }
            }
        }
    }

    /// The journal of this very generation, though another one may have begun meanwhile.
    async fn entries(&self, view: &RunView) -> Result<Vec<Entry>, StoreError> {
        let journal = self.store().load_journals(&[(view.id, view.generation)]).await?.pop();
        Ok(journal.map_or_else(Vec::new, |journal| journal.entries))
    }
}
