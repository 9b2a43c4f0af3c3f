//! [`Error`]: what calls of the runtime and the client return.

use crate::model::limits::check_name;
use crate::model::{Failure, PayloadError, RunId, Status};
use crate::store::StoreError;

/// What calls of [`Runtime`](crate::Runtime) and [`Client`](crate::Client) return.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run ended without a result: its workflow returned an error.
    #[error("run {run} {status}: {failure}")]
    RunFailed {
        /// The run.
        run: RunId,
        /// How it ended.
        status: Status,
        /// Why.
        failure: Box<Failure>,
    },
    /// The run cannot go on with the code that is deployed. It has not ended: other code may finish it, and asking again then gives
    /// its result.
    #[error("run {run} is {status}: {message}")]
    RunBlocked {
        /// The run.
        run: RunId,
        /// In which way.
        status: Status,
        /// What happened, and what to do.
        message: String,
    },
    /// The runtime or the client of the handle was shut down while it waited for the run. The run goes on as before: ask for its
    /// result with another runtime or client.
    #[error(
        "run {run} is not waited for any more: its runtime was shut down or its client closed; the run goes on, ask for its \
         result with another one"
    )]
    ShutDown {
        /// The run.
        run: RunId,
    },
    /// There is no such run.
    #[error("there is no run {run} in this database")]
    NoSuchRun {
        /// The id that was asked for.
        run: RunId,
    },
    /// No run of this workflow holds this key.
    #[error("no run of {workflow} holds the key {key:?}")]
    NoRunWithKey {
        /// The workflow that was asked for.
        workflow: String,
        /// The key that was asked for.
        key: String,
    },
    /// The run has ended, so nothing can be sent to it.
    #[error("run {run} has ended ({status}), so nothing reaches it any more")]
    RunEnded {
        /// The run.
        run: RunId,
        /// How it ended.
        status: Status,
    },
    /// The run has not ended, so what it has to undo stays with it.
    #[error("run {run} has not ended, so what it has to undo stays with it: end it first, or fork it without that")]
    RunNotEnded {
        /// The run.
        run: RunId,
    },
    /// There is no such event in the run's inbox: a wait has taken it, or there never was one.
    #[error("run {run} has no event {event} that was not taken")]
    NoSuchEvent {
        /// The run.
        run: RunId,
        /// The id that was asked for.
        event: uuid::Uuid,
    },
    /// The payload of an event cannot be journaled; nothing was sent.
    #[error("the payload of event {event} cannot be journaled: {source}")]
    InvalidEvent {
        /// The event's name.
        event: String,
        /// Why.
        source: PayloadError,
    },
    /// A published value does not fit the type that was asked for.
    #[error("state {name:?} of run {run} cannot be read: {source}")]
    StateUnusable {
        /// The run.
        run: RunId,
        /// Name of the value.
        name: String,
        /// Why.
        source: PayloadError,
    },
    /// No live worker knows a workflow of this name.
    #[error("no live worker knows a workflow named {name:?}; they know {}", known.join(", "))]
    UnknownWorkflow {
        /// The name that was asked for.
        name: String,
        /// The names they know.
        known: Vec<String>,
    },
    /// This version of the workflow takes no new runs.
    #[error("workflow {workflow} version {version} is deprecated and takes no new runs{}", match active {
        Some(active) => format!(": start version {active}"),
        None => String::new(),
    })]
    VersionDeprecated {
        /// The workflow that was asked for.
        workflow: String,
        /// The version that was asked for.
        version: String,
        /// The version that live workers start instead.
        active: Option<String>,
    },
    /// A name or key cannot be used.
    #[error("{0}")]
    InvalidName(String),
    /// The input cannot be journaled; nothing was started.
    #[error("the input of {workflow} cannot be journaled: {source}")]
    InvalidInput {
        /// The workflow.
        workflow: String,
        /// Why.
        source: PayloadError,
    },
    /// The database gave no answer to a start without a key, so the run may exist, or come to exist a little later. Start it again
    /// with [`Start::id`](crate::Start::id) and this id, which makes no second run, or look for it with
    /// [`Client::run`](crate::Client::run).
    #[error(
        "it is not known whether run {run} was started ({source}); start it again with this id, which makes no second run"
    )]
    StartUnanswered {
        /// The run that may exist.
        run: RunId,
        /// What happened to the start.
        source: StoreError,
    },
    /// The run completed, but its output does not fit the type that was asked for.
    #[error("the output of run {run} cannot be read: {source}")]
    OutputUnusable {
        /// The run.
        run: RunId,
        /// Why.
        source: PayloadError,
    },
    /// The definitions of this program contradict each other, or lack something. All that is wrong, at once.
    #[error("the workflows of this program cannot be run:\n  {}", .0.join("\n  "))]
    Definitions(Vec<String>),
    /// A setting is wrong, or the database cannot be used; the message says what to change.
    #[error("{0}")]
    Misconfigured(String),
    /// The database did not answer, or refused.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misconfigured { what } => Self::Misconfigured(what),
            other => Self::Store(other),
        }
    }
}

/// Checks a text that is only looked for: no name, key or value holds the character NUL, and PostgreSQL cannot be asked for one.
pub(crate) fn findable(what: &'static str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::InvalidName(format!(
            "the {what} {text:?} contains a NUL character, which none that is stored has; remove it"
        )));
    }
    Ok(())
}

/// Checks a name or key from outside.
pub(crate) fn valid(what: &'static str, text: &str, bytes_max: usize) -> Result<(), Error> {
    check_name(what, text, bytes_max).map_err(Error::InvalidName)
}
