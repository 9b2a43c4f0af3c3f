//! [`Runtime`]: hosts the engine in this process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::builder::RuntimeBuilder;
use super::client::Client;
use super::definition::{Event, Workflow, WorkflowFn};
use super::error::Error;
use super::handle::{RunHandle, Source};
use super::send::{RunRef, SendEvent};
use super::start::Start;
use crate::engine::Engine;
use crate::model::RunId;
use crate::store::Unserved;

/// Runs workflows in this process, durably on one database. Any number of processes may share a PostgreSQL.
///
/// Runs that earlier processes left behind go on as soon as it is built. Call [`Runtime::shutdown`] before the
/// program ends; a program that just ends is like one that was killed, and its runs wait for the lease to run out.
pub struct Runtime {
    engine: Arc<Engine>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Runtime {
    /// Begins to build one.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    pub(crate) fn new(engine: Arc<Engine>, serving: JoinHandle<()>) -> Self {
        Self { engine, serving: Mutex::new(Some(serving)) }
    }

    fn source(&self) -> Source {
        Source::Engine(self.engine.clone())
    }

    /// A client over this runtime's own connections: everything a [`Client`] can do, from inside.
    pub fn client(&self) -> Client {
        Client::of(self.source())
    }

    /// Starts a run of `workflow`. Once awaited, the run is durable: whatever happens to this process, it reaches
    /// exactly one end.
    ///
    /// # Errors
    /// When awaited, see [`Start`].
    pub fn start<Args, M, F>(&self, workflow: F, input: M::Input) -> Start<'_, M::Output>
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        Start::known(self.source(), M::DEFINITION, &input)
    }

    /// The run with this id. `T` is what its workflow returns.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn run<T: DeserializeOwned>(&self, id: RunId) -> Result<RunHandle<T>, Error> {
        self.source().view(id).await?;
        Ok(RunHandle::new(id, false, self.source()))
    }

    /// The run of `workflow` that holds `key`, if there is one, whether or not it has ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn run_by_key<Args, M, F>(&self, workflow: F, key: &str) -> Result<Option<RunHandle<M::Output>>, Error>
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        let view = self.source().by_key(M::DEFINITION.name, key).await?;
        Ok(view.map(|view| RunHandle::new(view.id, false, self.source())))
    }

    /// Sends an event to a run, in whatever process that is. See [`SendEvent`].
    #[allow(clippy::needless_pass_by_value)] // as one hands an event over
    pub fn send_event<E: Event>(&self, run: impl Into<RunRef>, event: E) -> SendEvent<'static> {
        self.source().send_event(run.into(), &event)
    }

    /// Runs that are due and that no live worker can run, in words: print each one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unserved(&self) -> Result<Vec<Unserved>, Error> {
        self.source().unserved().await
    }

    /// Stops claiming, lets running steps finish within the grace time, releases the other runs for any worker to
    /// go on with, and signs off. Calling it again does nothing. It returns within the grace time plus five seconds, whatever the
    /// database does; what could not be written or signed off by then is left to the end of the lease.
    ///
    /// A step that blocks its thread cannot be stopped; its run is then left to the end of the lease, and the log names it.
    pub async fn shutdown(&self) {
        self.engine.drain();
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the engine ended badly; its runs are taken over when the lease runs out");
            }
            self.engine.close().await;
        }
    }

    /// Serves until the process is told to end (SIGTERM or Ctrl-C; on Windows Ctrl-C), then shuts down.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub async fn run_until_signal(&self) -> Result<(), Error> {
        signal().await.map_err(|error| Error::Misconfigured(format!("cannot listen for signals: {error}")))?;
        tracing::info!("told to end; shutting down");
        self.shutdown().await;
        Ok(())
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupt = tokio::signal::ctrl_c() => interrupt,
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Whoever forgot to shut down at least stops taking on more.
        self.engine.drain();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}
