//! [`Client`]: starts runs and waits for them from a process that runs no workflows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::connect::connect;
use super::definition::{Workflow, WorkflowFn};
use super::error::Error;
use super::handle::{RunHandle, Source};
use super::start::Start;
use crate::model::{Limits, RunId};
use crate::store::{Store, Unserved};

/// Starts runs, and waits for their results, from a process that runs no workflows itself.
///
/// ```no_run
/// # async fn example() -> Result<(), forge_wf::Error> {
/// let client = forge_wf::Client::connect("postgres://localhost/shop").await?;
/// let run = client.start_by_name("checkout", serde_json::json!({ "id": "order-17" })).key("order-17").await?;
/// println!("{}", run.result().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    store: Arc<dyn Store>,
    grace: Duration,
    limits: Limits,
}

impl Client {
    /// Opens the database, applying the migrations it lacks.
    ///
    /// # Errors
    /// `Misconfigured` with what to change; `Store` if the schema is newer than this build.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let grace = crate::engine::config::Config::default().unserved_grace;
        Ok(Self { store: connect(url).await?, grace, limits: Limits::default() })
    }

    /// The same client with another bound on inputs, in bytes of JSON; it should be the workers' own.
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.limits.payload_bytes = bytes;
        self
    }

    fn source(&self) -> Source {
        Source::Store(self.store.clone(), self.grace)
    }

    /// Starts a workflow this program was compiled with; a worker runs it.
    pub fn start<Args, M, F>(&self, workflow: F, input: M::Input) -> Start<'_, M::Output>
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        Start::known(self.source(), M::DEFINITION, &input, &self.limits)
    }

    /// Starts a workflow by name, with its input as JSON. Whether the input fits is seen by the worker that runs it: if not,
    /// the run fails with code `input_unusable`.
    ///
    /// Awaiting it is an error if live workers exist and none of them knows the name.
    pub fn start_by_name(&self, workflow: impl Into<String>, input: serde_json::Value) -> Start<'_, serde_json::Value> {
        Start::named(self.source(), workflow.into(), &input, &self.limits)
    }

    /// The run with this id. `T` is what its workflow returns; `serde_json::Value` fits every workflow.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn run<T: DeserializeOwned>(&self, id: RunId) -> Result<RunHandle<T>, Error> {
        self.source().view(id).await?;
        Ok(RunHandle::new(id, false, self.source()))
    }

    /// The run of `workflow` that holds `key`, if there is one.
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

    /// Runs that are due and that no live worker can run, in words: print each one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unserved(&self) -> Result<Vec<Unserved>, Error> {
        Ok(self.store.unserved(self.grace).await?)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
