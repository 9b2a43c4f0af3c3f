//! [`AwaitResult`]: waits for the end of a run.
//!
//! Takes a handle; returns what the run's workflow returned, or why it did not. Never changes the run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::error::Error;
use super::handle::{RunHandle, Source};
use super::pace::{LOOK_AGAIN, longest_pause};
use crate::engine::config::DATABASE_RETRY;
use crate::engine::pauses::Pauses;
use crate::engine::waiters::Outcome;
use crate::model::{BlockReason, Failure, Payload, Phase, Served, State, Status};
use crate::store::{RunView, StoreError};

/// Waits for the end of a run, once it is awaited. `T` is what its workflow returns.
///
/// The end of a run in this process is known at once. A run that other workers execute is looked at four times a second, one
/// that no live worker serves once a second, and one that only waits every four seconds; for a handle of a
/// [`Runtime`](crate::Runtime) soon after any hint of the database, too.
///
/// A run that no live worker serves (`blocked_missing_handler`, `blocked_missing_version`, `blocked_signature_mismatch`) is waited
/// for, however long that takes, since a deploy that takes a while shows the same. One line in the log, at level warn, says when
/// such a wait begins. [`AwaitResult::or_blocked`] returns instead.
///
/// While the database does not answer, the wait goes on too, with pauses that grow to two seconds; one line in the log, at level
/// warn, says when that begins. It ends with [`Error::ShutDown`] once the runtime of the handle is shut down or its client closed.
#[must_use = "a result is not waited for until it is awaited"]
pub struct AwaitResult<'h, T> {
    run: &'h RunHandle<T>,
    or_blocked: bool,
    wait: Option<BoxFuture<'h, Result<T, Error>>>,
}

impl<'h, T: DeserializeOwned> AwaitResult<'h, T> {
    pub(super) fn new(run: &'h RunHandle<T>) -> Self {
        Self { run, or_blocked: false, wait: None }
    }

    /// Returns `RunBlocked` also for a run that no live worker serves, in place of waiting for a worker. A run counts as unserved
    /// when it has been due for the `unserved_grace` of the runtime (default 10 s), by the database's clock, and never while this
    /// process executes it.
    ///
    /// ```no_run
    /// # async fn example(run: forge_wf::RunHandle<u64>) -> Result<(), forge_wf::Error> {
    /// match run.result().or_blocked().await {
    ///     Err(forge_wf::Error::RunBlocked { status, .. }) => println!("nothing executes it now: {status}"),
    ///     result => println!("{}", result?),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn or_blocked(mut self) -> Self {
        self.or_blocked = true;
        self
    }
}

impl<'h, T: DeserializeOwned> Future for AwaitResult<'h, T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let it = self.get_mut();
        let (run, or_blocked) = (it.run, it.or_blocked);
        it.wait.get_or_insert_with(|| Box::pin(run.until_ended(or_blocked))).as_mut().poll(context)
    }
}

impl<T: DeserializeOwned> RunHandle<T> {
    async fn until_ended(&self, or_blocked: bool) -> Result<T, Error> {
        let mut pauses = Pauses::new(LOOK_AGAIN);
        // Declared first, so dropped after the channel: then that one counts as gone.
        let _gone = Gone(self);
        let mut waiting = self.wait();
        let mut unserved = false;
        let mut outage: Option<Pauses> = None;
        loop {
            if self.is_resident() {
                match told(&mut waiting).await {
                    Some(outcome) => return self.read(outcome),
                    None => waiting = self.wait(),
                }
                if self.is_resident() {
                    continue;
                }
            }
            // What stirs from here on may have ended what the view shows.
            let stirs = self.stirs();
            let pause = match self.source.view(self.id).await {
                Err(error) => self.pause_of_outage(error, &mut outage)?,
                Ok(view) => {
                    outage = None;
                    let status = view.status();
                    // It may have been claimed here since it was looked at.
                    let was_unserved = std::mem::replace(&mut unserved, is_unserved(status) && !self.is_resident());
                    if unserved && !or_blocked {
                        if !was_unserved {
                            tracing::warn!(
                                run = %self.id, workflow = %view.workflow, version = view.version.as_deref(), %status,
                                "no live worker serves this run; its result is waited for until a worker does"
                            );
                        }
                    } else if view.state.is_ended() || (status.is_blocked() && (unserved || !is_unserved(status))) {
                        return self.read_view(view);
                    }
                    pauses.take_up_to(longest_pause(&view, self.source.now()))
                }
            };
            tokio::select! {
                told = told(&mut waiting) => match told {
                    Some(outcome) => return self.read(outcome),
                    // The run's turn is over, and the next may be anywhere.
                    None => waiting = self.wait(),
                },
                () = tokio::time::sleep(pause) => {}
                () = stirs => pauses.shorten_to(LOOK_AGAIN.1),
            }
        }
    }

    /// How long to pause until the database is asked again; says once that the wait goes on. `outage` has the pauses of this outage.
    ///
    /// # Errors
    /// It will not answer, whenever it is asked.
    fn pause_of_outage(&self, error: Error, outage: &mut Option<Pauses>) -> Result<Duration, Error> {
        match &error {
            Error::Store(StoreError::Closed { .. }) => return Err(Error::ShutDown { run: self.id }),
            Error::Store(passing) if passing.is_passing() => {}
            _ => return Err(error),
        }
        if outage.is_none() {
            tracing::warn!(
                run = %self.id, %error, "the database does not answer; the result of this run is waited for until it does"
            );
        }
        Ok(outage.get_or_insert_with(|| Pauses::new(DATABASE_RETRY)).take())
    }

    /// Whether the run is in this process's memory.
    fn is_resident(&self) -> bool {
        matches!(&self.source, Source::Engine(engine) if engine.is_resident(self.id))
    }

    /// Hears of the run's end, if it comes about in this process.
    fn wait(&self) -> Option<oneshot::Receiver<Outcome>> {
        match &self.source {
            Source::Engine(engine) => Some(engine.waiters.wait(self.id)),
            Source::Store(..) => None,
        }
    }

    /// Returns a moment after something may have changed, counted from this call; never where no hints are heard. A moment, so
    /// that a busy database is not asked about every one of its changes.
    fn stirs(&self) -> impl Future<Output = ()> {
        let stirs = match &self.source {
            Source::Engine(engine) => Some(engine.stirs()),
            Source::Store(..) => None,
        };
        async move {
            match stirs {
                Some(stirs) => stirs.await,
                None => std::future::pending().await,
            }
            tokio::time::sleep(LOOK_AGAIN.1).await;
        }
    }

    fn read(&self, outcome: Outcome) -> Result<T, Error> {
        match outcome {
            Outcome::Completed(output) => self.decode(&output),
            Outcome::Failed(state, failure) => Err(self.failed(state.ended_status(), &failure)),
            Outcome::Blocked(stuck) => {
                Err(Error::RunBlocked { run: self.id, status: blocked_status(stuck.reason), message: stuck.message })
            }
        }
    }

    fn read_view(&self, view: RunView) -> Result<T, Error> {
        let status = view.status();
        match (view.state, view.output, view.failure) {
            (State::Completed, None, _) if view.unread.is_some() => {
                let what = format!("the output of run {}: {}", self.id, view.unread.unwrap_or_default());
                Err(StoreError::Corrupt { what }.into())
            }
            (State::Completed, Some(output), _) => self.decode(&output),
            (state, _, failure) if !state.is_ended() => {
                let message = failure.and_then(|failure| failure.decode::<Failure>().ok()).map_or_else(
                    || {
                        "no live worker can run it: start a worker that has its workflow in the version it is bound to"
                            .into()
                    },
                    |failure| failure.message().to_owned(),
                );
                Err(Error::RunBlocked { run: self.id, status, message })
            }
            (_, _, failure) => Err(self.failed(status, &failure.unwrap_or_else(Payload::null))),
        }
    }

    fn decode(&self, output: &Payload) -> Result<T, Error> {
        output.decode().map_err(|source| Error::OutputUnusable { run: self.id, source })
    }

    fn failed(&self, status: Status, failure: &Payload) -> Error {
        let failure =
            failure.decode().unwrap_or_else(|error| Failure::new(format!("its failure cannot be read: {error}")));
        Error::RunFailed { run: self.id, status, failure: Box::new(failure) }
    }
}

/// What became of the run; `None` once its turn is over without an end.
async fn told(waiting: &mut Option<oneshot::Receiver<Outcome>>) -> Option<Outcome> {
    match waiting {
        Some(waiting) => waiting.await.ok(),
        None => std::future::pending().await,
    }
}

/// Tidies up after a wait that has ended or was dropped.
struct Gone<'h, T>(&'h RunHandle<T>);

impl<T> Drop for Gone<'_, T> {
    fn drop(&mut self) {
        if let Source::Engine(engine) = &self.0.source {
            engine.waiters.forget_gone(self.0.id);
        }
    }
}

fn blocked_status(reason: BlockReason) -> Status {
    Status::derive(Phase::Forward, State::Blocked, Some(reason), false, Served::Yes)
}

/// Whether the run waits for a worker that serves it, and for nothing else.
fn is_unserved(status: Status) -> bool {
    matches!(status, Status::BlockedMissingHandler | Status::BlockedMissingVersion | Status::BlockedSignatureMismatch)
}

impl<T> fmt::Debug for AwaitResult<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitResult").field("run", &self.run.id).field("or_blocked", &self.or_blocked).finish()
    }
}
