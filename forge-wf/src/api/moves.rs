//! [`MoveRuns`]: runs in flight go on with another version of their workflow, because somebody says so.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;

use super::error::Error;
use super::handle::{Source, asked_twice};
use super::list::Filter;
use super::order::check_who_and_why;
use super::preflight::{PROBLEMS_MAX, Problem, Verdict, words};
use crate::engine::definition::WorkflowDefinition;
use crate::engine::moves::{Moved, Unowned, move_unowned};
use crate::engine::registry::{Registry, RegistryError};
use crate::model::{Phase, RunId};
use crate::store::{Audit, RunView, StoreError};

/// How long runs that a worker holds are looked at again: longer than a run that only waits stays in memory.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Binds runs that fit a filter to another version of their workflow, if their journals fit that; done when this is awaited.
///
/// The journal of each run is replayed with the code of that version, which has to be in this program, without effects and without
/// writing. What fits is bound to the version, with an entry `move` in its journal and a line in its audit, in one transaction; a run
/// that was blocked by its code is tried again, and one that waits is woken once, to wait for what the other version waits for. What does
/// not fit stays what it is, and does not count towards the number of runs. A run that already turns back stays, too.
///
/// A run is moved while no worker holds it: asleep, waiting, paused, blocked, or due and not yet taken. Those a worker holds are looked
/// at again for a while ([`patience`](Self::patience)). One that executes step after step can be paused first, and resumed afterwards.
///
/// # Errors
/// When awaited: the definitions of this program contradict each other; `InvalidName`, also for a version that no workflow of this
/// program has; the database does not answer. Some runs may have been moved then, and doing it again is safe.
#[must_use = "no run is moved until this is awaited"]
pub struct MoveRuns {
    source: Source,
    filter: Filter,
    version: String,
    at_most: usize,
    reason: String,
    who: String,
    patience: Duration,
}

/// What came of moving runs.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RunsMoved {
    /// Runs that are of the other version now.
    pub moved: u64,
    /// Runs that stay with their version.
    pub stayed: u64,
    /// Why they stay, of up to 1,000.
    pub problems: Vec<Problem>,
    /// Runs that a worker held all the time: to be tried again.
    pub busy: Vec<RunId>,
}

impl MoveRuns {
    pub(crate) fn new(source: Source, filter: Filter, version: String, at_most: usize, reason: String) -> Self {
        Self { source, filter, version, at_most, reason, who: String::from("client"), patience: PATIENCE }
    }

    /// Who wants it: a person or a program. `client` unless said otherwise.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.who = who.into();
        self
    }

    /// How long runs that a worker holds are looked at again before they are given up as busy, by this process's clock; 15 seconds
    /// unless said otherwise, which is longer than a run that only waits stays in memory by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn make(mut self) -> Result<RunsMoved, Error> {
        check_who_and_why(&self.who, &self.reason)?;
        let registry =
            Registry::definitions_only().map_err(|RegistryError(sentences)| Error::Definitions(sentences))?;
        if !registry.has_version(&self.version) {
            let version = &self.version;
            return Err(Error::InvalidName(format!(
                "no workflow of this program has a version {version}: move runs with a program that has it"
            )));
        }
        let (mut done, mut held, mut left) = (RunsMoved::default(), Vec::new(), self.at_most);
        let mut filter = std::mem::take(&mut self.filter);
        while left > 0 {
            let page = self.source.list(&filter).await?;
            for run in page.runs {
                let Some(next) = registry.version(&run.workflow, &self.version).filter(|_| left > 0) else { continue };
                match self.try_one(run.id, next, &mut done).await? {
                    Tried::None => continue,
                    Tried::Moved => {}
                    Tried::Held => held.push((run.id, next)),
                }
                left -= 1;
            }
            match page.next {
                Some(next) => filter = filter.from(next),
                None => break,
            }
        }
        self.wait_for(held, &mut done).await?;
        if done.moved > 0 {
            self.source.announce().await;
        }
        Ok(done)
    }

    /// Tries again what workers hold, until nobody does or the patience is over.
    async fn wait_for(
        &self,
        mut held: Vec<(RunId, &'static WorkflowDefinition)>,
        done: &mut RunsMoved,
    ) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + self.patience;
        while !held.is_empty() && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
            let mut still = Vec::new();
            for (run, next) in held {
                if matches!(self.try_one(run, next, done).await?, Tried::Held) {
                    still.push((run, next));
                }
            }
            held = still;
        }
        done.busy.extend(held.into_iter().map(|(run, _)| run));
        Ok(())
    }

    async fn try_one(
        &self,
        run: RunId,
        next: &'static WorkflowDefinition,
        done: &mut RunsMoved,
    ) -> Result<Tried, Error> {
        let store = self.source.store();
        let Some(view) = store.run(run, self.source.grace()).await? else { return Ok(Tried::None) };
        // One that asked for no version begins with the active one.
        let Some(version) = view.version.clone() else { return Ok(Tried::None) };
        if view.phase != Phase::Forward || view.definition == Some(next.signature) {
            return Ok(Tried::None);
        }
        if view.worker.is_some() {
            return Ok(Tried::Held);
        }
        let journal = match store.load_journals(&[(run, view.generation)]).await {
            Err(error @ (StoreError::Corrupt { .. } | StoreError::Unknown { .. })) => {
                done.stay(&view, Verdict::CannotDecode(error.to_string()));
                return Ok(Tried::None);
            }
            answer => answer?.pop(),
        };
        let Some(journal) = journal else { return Ok(Tried::None) };
        let audit = Audit { who: self.who.as_str().into(), action: "move".into(), details: self.details(&view).into() };
        let attempt = || {
            let unowned = Unowned { journal: journal.clone(), seed: view.seed, version: &version };
            move_unowned(&**store, next, unowned, self.source.limits(), Some(&audit))
        };
        Ok(match asked_twice(attempt).await? {
            Moved::Busy => Tried::Held,
            Moved::Done => {
                done.moved += 1;
                Tried::Moved
            }
            Moved::Stays(misfit) => {
                done.stay(&view, words(misfit));
                Tried::None
            }
        })
    }

    fn details(&self, view: &RunView) -> String {
        format!("from version {} to {}: {}", view.version.as_deref().unwrap_or_default(), self.version, self.reason)
    }
}

impl RunsMoved {
    fn stay(&mut self, view: &RunView, verdict: Verdict) {
        self.stayed += 1;
        if self.problems.len() < PROBLEMS_MAX {
            let version = view.version.as_deref().map(str::to_owned);
            self.problems.push(Problem { run: view.id, workflow: view.workflow.to_string(), version, verdict });
        }
    }
}

enum Tried {
    /// There is nothing to move, or it stays.
    None,
    /// It is of the other version now.
    Moved,
    /// Somebody holds it.
    Held,
}

impl IntoFuture for MoveRuns {
    type Output = Result<RunsMoved, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

impl fmt::Debug for MoveRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoveRuns").field("filter", &self.filter).field("version", &self.version).finish_non_exhaustive()
    }
}
