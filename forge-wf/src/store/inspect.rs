//! Reads for people and for callers that wait; none of them takes part in driving a run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::{Audit, Journal, KnownVersion, Mail, Parent, StoreError};
use crate::model::{BlockReason, Digest, Payload, Phase, RunId, Served, State, Status, Timestamp, WorkerId};

/// Reads for people.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// The run, or `None` if there is none of this id. `grace` is how long a run may be due before it counts as unserved. A run whose
    /// row can be read comes back, whatever the database says of its journal and its inbox: see [`RunView::unread`].
    async fn run(&self, run: RunId, grace: Duration) -> Result<Option<RunView>, StoreError>;

    /// The run that holds `key` among the runs of `workflow`.
    async fn run_by_key(&self, workflow: &str, key: &str, grace: Duration) -> Result<Option<RunView>, StoreError>;

    /// The journal of the run's present generation, sorted as by `Store::load_journals`; `None` if there is no such run.
    async fn journal(&self, run: RunId) -> Result<Option<Journal>, StoreError>;

    /// What the run published under this name by `save_state`, last; `None` if nothing, or if there is no such run.
    async fn state(&self, run: RunId, key: &str) -> Result<Option<Payload>, StoreError>;

    /// Events in the run's inbox that no wait has taken, oldest first, at most 1,000; with them, in the same order, what
    /// asks to drop or replace them.
    async fn events(&self, run: RunId) -> Result<Vec<Mail>, StoreError>;

    /// Runs due for longer than `grace` that no live worker offers to run, grouped by what they need, most first.
    async fn unserved(&self, grace: Duration) -> Result<Vec<Unserved>, StoreError>;

    /// Runs whose rows hold a phase or a state that this build does not know, in the order of their ids, at most 100. A newer build may
    /// have written them: no worker of this build claims or writes them.
    async fn unknown_runs(&self) -> Result<Vec<UnknownRun>, StoreError>;

    /// Runs, newest first: see [`ListRuns`]. `grace` as in [`Inspect::run`]. They come without failures, outputs and counts of events.
    async fn list_runs(&self, list: &ListRuns, grace: Duration) -> Result<Listed, StoreError>;

    /// Who did what to this run and why, oldest first, with the database's time of each; at most 1,000, the newest.
    async fn audit(&self, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError>;

    /// The versions of workflows that live workers have, sorted by name and version, each once.
    async fn known_versions(&self) -> Result<Vec<KnownVersion>, StoreError>;
}

/// Which runs to list; `None` asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct ListRuns {
    /// Of this workflow.
    pub workflow: Option<Arc<str>>,
    /// Of this version.
    pub version: Option<Arc<str>>,
    /// Started with this key.
    pub key: Option<Arc<str>>,
    /// Started by this owner.
    pub owner: Option<Arc<str>>,
    /// With this value under this tag.
    pub tag: Option<(Arc<str>, Arc<str>)>,
    /// In one of these states.
    pub states: Option<Vec<State>>,
    /// Started before this run.
    pub before: Option<RunId>,
    /// Inserted then or later.
    pub created_from: Option<Timestamp>,
    /// Inserted before then.
    pub created_until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
    /// Of at most so many that are looked at.
    pub look_at: u32,
}

/// Part of a list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The runs, newest first.
    pub runs: Vec<RunView>,
    /// Those that fit, but hold what this build does not know, or what makes no sense; newest first.
    pub unknown: Vec<UnknownRun>,
    /// From below which run on there may be more.
    pub next: Option<RunId>,
}

impl Listed {
    /// Adds a run as its row was read.
    ///
    /// # Errors
    /// What is not about this row.
    pub fn add(&mut self, run: RunId, workflow: &str, view: Result<RunView, StoreError>) -> Result<(), StoreError> {
        match view {
            Ok(view) => self.runs.push(view),
            Err(StoreError::Unknown { what } | StoreError::Corrupt { what }) => {
                self.unknown.push(UnknownRun { run, workflow: workflow.to_owned(), what });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A run as a reader sees it, at one moment.
#[derive(Clone, Debug)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Version it is bound to or was asked for.
    pub version: Option<Arc<str>>,
    /// The definition it is bound to.
    pub definition: Option<Digest>,
    /// The key it was started with.
    pub key: Option<Arc<str>>,
    /// Its generation.
    pub generation: i32,
    /// What its random numbers follow from.
    pub seed: i64,
    /// Which way it goes.
    pub phase: Phase,
    /// Where it stands.
    pub state: State,
    /// Whether it waits for a point in time and for nothing else: no event, no child.
    pub due_later: bool,
    /// What live workers offer for it.
    pub served: Served,
    /// Why it is blocked.
    pub block_reason: Option<BlockReason>,
    /// The failure it ended with, or what blocks it or keeps it waiting, as JSON.
    pub failure: Option<Payload>,
    /// What the body returned, if it completed.
    pub output: Option<Payload>,
    /// Who owns it now.
    pub worker: Option<WorkerId>,
    /// When it was inserted.
    pub created_at: Timestamp,
    /// When it is due.
    pub ready_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it is to have ended.
    pub deadline_at: Option<Timestamp>,
    /// Its place among what is due.
    pub priority: i16,
    /// How many workers in a row died while they executed it.
    pub takeovers: i32,
    /// Who started it.
    pub owner: Option<Arc<str>>,
    /// Its tags, as JSON.
    pub tags: Option<Payload>,
    /// Whose child it is.
    pub parent: Option<Parent>,
    /// Events in its inbox that no wait has taken, counted up to 1,000.
    pub events: u32,
    /// What the database says of its journal or its inbox, if it cannot read them though it can read the row: then there is no output,
    /// no number of events, and `due_later` and `served` are by the row alone.
    pub unread: Option<String>,
}

impl ListRuns {
    /// From below which run on there may be more, if these ids came back: those that fit, and the last that was looked at.
    pub fn next(&self, fitting: &[RunId], last: Option<RunId>) -> Option<RunId> {
        if fitting.len() >= self.limit as usize { fitting.last().copied() } else { last }
    }
}

#[cfg(test)]
impl RunView {
    /// A run of `checkout` for tests that look at views.
    pub fn of(phase: Phase, state: State) -> Self {
        Self {
            id: RunId::new(),
            workflow: "checkout".into(),
            version: None,
            definition: None,
            key: None,
            generation: 0,
            seed: 0,
            phase,
            state,
            due_later: false,
            served: Served::Yes,
            block_reason: None,
            failure: None,
            output: None,
            worker: None,
            created_at: Timestamp::UNIX_EPOCH,
            ready_at: None,
            ended_at: None,
            deadline_at: None,
            priority: 0,
            takeovers: 0,
            owner: None,
            tags: None,
            parent: None,
            events: 0,
            unread: None,
        }
    }
}

impl RunView {
    /// Its status in the words shown to people.
    pub fn status(&self) -> Status {
        Status::derive(self.phase, self.state, self.block_reason, self.due_later, self.served)
    }
}

/// A run whose row this build does not understand: a newer build may have written it, so this one leaves it as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnknownRun {
    /// Its id.
    pub run: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// What is not understood, as in "its row has the unknown phase 7".
    pub what: String,
}

impl UnknownRun {
    /// At most so many are asked for at once.
    pub const AT_MOST: i64 = 100;

    /// A run with these numbers for its phase and state, of which this build knows one at the most.
    pub fn of(run: RunId, workflow: &str, phase: i16, state: i16) -> Self {
        let what = match (Phase::from_wire(phase), State::from_wire(state)) {
            (None, Some(_)) => format!("its row has the unknown phase {phase}"),
            (Some(_), None) => format!("its row has the unknown state {state}"),
            _ => format!("its row has the unknown phase {phase} and the unknown state {state}"),
        };
        Self { run, workflow: workflow.to_owned(), what }
    }
}

/// Runs that wait for a worker nobody has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Version they are bound to or asked for.
    pub version: Option<Arc<str>>,
    /// The signature they are bound to.
    pub definition: Option<Digest>,
    /// How many there are.
    pub runs: u64,
    /// What live workers offer under this name: version and signature of each.
    pub offered: Vec<(Arc<str>, Digest)>,
}

impl std::fmt::Display for Unserved {
    /// As in "3 runs of checkout 1 wait for signature a1b2c3d4; live workers have b2c3d4e5".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of {}", self.runs, if self.runs == 1 { "run" } else { "runs" }, self.workflow)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        f.write_str(if self.runs == 1 { " waits for " } else { " wait for " })?;
        let same: Vec<_> = self.offered.iter().filter(|(version, _)| Some(version) == self.version.as_ref()).collect();
        match (self.offered.is_empty(), self.definition, same.is_empty()) {
            (true, _, _) => f.write_str("a worker that has this workflow; no live worker does"),
            (false, Some(definition), false) => {
                let found: Vec<_> = same.iter().map(|(_, digest)| digest.short()).collect();
                write!(f, "signature {}; live workers have {}", definition.short(), found.join(", "))
            }
            _ => {
                let found: Vec<_> = self.offered.iter().map(|(version, _)| version.as_ref()).collect();
                write!(f, "a worker that has this version; live workers have {}", found.join(", "))
            }
        }
    }
}
