//! [`RunHandle`]: a run as its starter holds it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::error::{Error, findable};
use super::order::GiveOrder;
use super::result::AwaitResult;
use super::show::RunDetails;
use crate::engine::Engine;
use crate::engine::counters::Counters;
use crate::model::{Failure, Limits, RunId, Status, Timestamp};
use crate::store::{MailKind, RunView, Store, StoreError, Unserved};

/// Where a handle looks.
#[derive(Clone)]
pub(crate) enum Source {
    /// The engine of this process.
    Engine(Arc<Engine>),
    /// The database only.
    Store(Arc<dyn Store>, Duration, Limits),
}

/// Asks once more if the database gave no answer: for what is safe to repeat, by an id that its sender made.
pub(crate) async fn asked_twice<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    match ask().await {
        Err(StoreError::Unavailable { .. } | StoreError::Busy { .. }) => ask().await,
        answer => answer,
    }
}

impl Source {
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        match self {
            Self::Engine(engine) => engine.store(),
            Self::Store(store, ..) => store,
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        match self {
            Self::Engine(engine) => engine.config().unserved_grace,
            Self::Store(_, grace, _) => *grace,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        match self {
            Self::Engine(engine) => engine.config().limits,
            Self::Store(_, _, limits) => *limits,
        }
    }

    /// About what the database's clock says; it decides how often to look, and nothing else.
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Engine(engine) => engine.now(),
            Self::Store(..) => chrono::Utc::now(),
        }
    }

    pub(crate) async fn view(&self, run: RunId) -> Result<RunView, Error> {
        self.store().run(run, self.grace()).await?.ok_or(Error::NoSuchRun { run })
    }

    pub(crate) async fn unserved(&self) -> Result<Vec<Unserved>, Error> {
        Ok(self.store().unserved(self.grace()).await?)
    }

    pub(crate) async fn by_key(&self, workflow: &str, key: &str) -> Result<Option<RunView>, Error> {
        findable("workflow name", workflow)?;
        findable("key", key)?;
        Ok(self.store().run_by_key(workflow, key, self.grace()).await?)
    }
}

/// How many steps of a run this process took from the journal, and how many it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Steps whose recorded result was handed to the workflow again.
    pub from_journal: u64,
    /// Steps that were run and recorded.
    pub run_now: u64,
    /// Recorded results of all kinds that were handed to the workflow again: what replays have cost.
    pub replayed: u64,
}

/// A run as its starter holds it. `T` is what its workflow returns.
///
/// Dropping the handle changes nothing: the run goes on.
pub struct RunHandle<T> {
    pub(super) id: RunId,
    created: bool,
    pub(super) source: Source,
    counters: Option<Arc<Counters>>,
    output: PhantomData<fn() -> T>,
}

impl<T> RunHandle<T> {
    /// What [`RunHandle::id`] says, for whatever `T` is.
    pub(crate) fn run_id(&self) -> RunId {
        self.id
    }
}

impl<T: DeserializeOwned> RunHandle<T> {
    pub(crate) fn new(id: RunId, created: bool, source: Source) -> Self {
        let counters = match &source {
            Source::Engine(engine) => Some(engine.counters.hold(id)),
            Source::Store(..) => None,
        };
        Self { id, created, source, counters, output: PhantomData }
    }

    /// The run's id.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Whether the call that gave this handle created the run; `false` if a run held the key already.
    pub fn created(&self) -> bool {
        self.created
    }

    /// What the run is doing, read from the database now.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer. Repeating it is safe.
    pub async fn status(&self) -> Result<Status, Error> {
        Ok(self.source.view(self.id).await?.status())
    }

    /// What the run has published last under this name by `ctx.save_state(..)`, read from the database now: progress, while
    /// it lives, or what is left of it afterwards. `None` if it published nothing of this name.
    ///
    /// # Errors
    /// `StateUnusable` if it does not fit `S`, or the database does not answer.
    pub async fn state<S: DeserializeOwned>(&self, name: &str) -> Result<Option<S>, Error> {
        findable("name of a state", name)?;
        let Some(value) = self.source.store().state(self.id, name).await? else { return Ok(None) };
        let unusable = |source| Error::StateUnusable { run: self.id, name: name.to_owned(), source };
        value.decode().map(Some).map_err(unusable)
    }

    /// What keeps the run from going on, in its own words: an event that does not fit what it waits for, or why it is blocked.
    /// `None` if nothing does, and for a run that has ended.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn problem(&self) -> Result<Option<Failure>, Error> {
        let view = self.source.view(self.id).await?;
        if view.state.is_ended() {
            return Ok(None);
        }
        Ok(view.failure.and_then(|failure| failure.decode().ok()))
    }

    /// How many steps this process took from the journal and how many it ran, for as long as it had the run in memory or a
    /// handle of it. Zero for a run that another process drives, and for handles of a [`Client`](crate::Client).
    pub fn counts(&self) -> Counts {
        let Some(counters) = &self.counters else { return Counts::default() };
        let (from_journal, run_now) = counters.read();
        Counts { from_journal, run_now, replayed: counters.entries() }
    }

    /// The run with its journal. See [`Client::show`](crate::Client::show).
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn show(&self) -> Result<RunDetails, Error> {
        self.source.show(self.id).await
    }

    /// Asks the run to end and to undo what it did. See [`Client::cancel`](crate::Client::cancel).
    pub fn cancel(&self, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), self.id.into(), MailKind::Cancel, reason)
    }

    /// Ends the run as it is, undoing nothing. See [`Client::kill`](crate::Client::kill).
    pub fn kill(&self, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), self.id.into(), MailKind::Kill, reason)
    }

    /// Waits until the run has ended, and returns what its workflow returned. It may be called again. See [`AwaitResult`].
    ///
    /// ```no_run
    /// # async fn example(run: forge_wf::RunHandle<u64>) -> Result<(), forge_wf::Error> {
    /// let total = run.result().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When awaited:
    /// - `RunFailed` if the workflow returned an error, or if the run was stopped (cancelled, killed, past its deadline); its
    ///   `status` says which, and whether what it did was undone.
    /// - `RunBlocked` if the run is blocked until its code changes or an operator acts. The run is not lost: calling this again
    ///   after that waits on. A run that no live worker serves is waited for, unless [`AwaitResult::or_blocked`] says otherwise.
    /// - `OutputUnusable` if the output does not fit `T`.
    /// - `ShutDown` if the runtime of this handle was shut down, or its client closed.
    /// - `NoSuchRun`, or `Store` if the database refuses to be read. A database that does not answer is waited for.
    pub fn result(&self) -> AwaitResult<'_, T> {
        AwaitResult::new(self)
    }
}

impl<T> Drop for RunHandle<T> {
    fn drop(&mut self) {
        if let (Source::Engine(engine), Some(counters)) = (&self.source, self.counters.take()) {
            engine.counters.release(self.id, counters);
        }
    }
}

impl<T> fmt::Debug for RunHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle").field("id", &self.id).field("created", &self.created).finish()
    }
}
