//! What the macros describe of a step and of a workflow: plain data and two functions over bytes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::calls::Calls;
use super::retry::Retry;
use super::states::{StateNeed, States};
use crate::contract::parts::Contract;
use crate::model::{CallId, Digest, Failure, Limits, Payload, RunId, VersionStatus};

/// Where something stands in a user's source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// As `file!()` says.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How a step is tried.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct StepOptions {
    /// No policy: one attempt.
    pub retry: Option<Retry>,
    /// Bound on one attempt. None: no bound.
    pub timeout: Option<Duration>,
}

/// Everything the engine knows of a step.
pub struct StepDefinition {
    /// Its journal key, as in `step:charge`.
    pub key: &'static str,
    /// Where it is written.
    pub place: Place,
    /// Hash of its key, parameters and output. Of its compensation nothing: workers are found by this hash, also for undos
    /// that were recorded before the compensation changed.
    pub digest: Digest,
    /// How it is tried, unless the call says otherwise.
    pub options: StepOptions,
    /// The names of its arguments, in order.
    pub arguments: &'static [&'static str],
    /// How to undo it.
    pub undo: Option<UndoDefinition>,
    /// The state it asks for.
    pub states: &'static [StateNeed],
    /// Runs one attempt.
    pub run: fn(StepEnv, Payload) -> StepFuture,
}

/// How a step is undone.
pub struct UndoDefinition {
    /// The compensating step. A function: the constants of steps that undo each other would be a cycle.
    pub step: fn() -> &'static StepDefinition,
    /// The arguments of the compensating step, from the arguments and the output of the step it undoes. Without an output:
    /// those for a step of which nobody knows whether it was done; `None` if it cannot be called for that.
    pub args: fn(&Payload, Option<&Payload>) -> Option<UndoArgs>,
}

/// What a compensating step is to be given; an `Err` says why that could not be found out.
pub type UndoArgs = Result<Payload, String>;

/// Everything the engine knows of a workflow definition.
pub struct WorkflowDefinition {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What this version is for.
    pub status: VersionStatus,
    /// The version whose runs go on with this one, if their journals fit it.
    pub replaces: Option<&'static str>,
    /// The key of its calls in a parent's journal, as in `child:checkout`.
    pub child_key: &'static str,
    /// Where it is written.
    pub place: Place,
    /// Hash of all that its runs in flight rely on.
    pub signature: Digest,
    /// What that is made of, and whose it is.
    pub contract: Contract,
    /// How long a run may take, from its start.
    pub timeout: Option<Duration>,
    /// How whoever called it undoes a run of it that has completed. Its arguments are the run's input.
    pub undo: Option<UndoDefinition>,
    /// Makes the body's future.
    pub run: fn(Body) -> BodyFuture,
}

/// Everything the engine knows of an event.
pub struct EventDefinition {
    /// Its name, as in `approved`.
    pub name: &'static str,
    /// The type of its payload, for people.
    pub type_name: &'static str,
    /// Where it is written.
    pub place: Place,
}

/// One registry entry, submitted through `inventory` or given to `register`.
#[derive(Clone, Copy)]
pub enum Registration {
    /// A step.
    Step(&'static StepDefinition),
    /// A workflow.
    Workflow(&'static WorkflowDefinition),
    /// An event.
    Event(&'static EventDefinition),
}

inventory::collect!(Registration);

/// What an attempt of a step is given.
#[derive(Clone)]
pub struct StepEnv {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: i32,
    /// The call.
    pub call: CallId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Raised when the attempt should end soon.
    pub stop: Arc<StopFlag>,
    /// Values given to the builder.
    pub states: Arc<States>,
    /// Bounds on what it returns.
    pub limits: Limits,
    /// The transaction of a transactional step, which commits with the journal entry.
    pub tx: Option<TxSlot>,
}

/// Holds the transaction of a transactional step; nothing fills it yet.
#[derive(Clone)]
pub struct TxSlot(Arc<dyn std::any::Any + Send + Sync>);

impl TxSlot {
    /// A slot that holds this transaction.
    pub fn new(transaction: Arc<dyn std::any::Any + Send + Sync>) -> Self {
        Self(transaction)
    }

    /// What it holds.
    pub fn get(&self) -> &Arc<dyn std::any::Any + Send + Sync> {
        &self.0
    }
}

/// Raised once, when an attempt should end soon: a shutdown, or its run goes elsewhere.
#[derive(Default)]
pub struct StopFlag {
    raised: AtomicBool,
    notify: tokio::sync::Notify,
}

impl StopFlag {
    /// Raises the flag.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Returns once it is raised.
    pub async fn raised(&self) {
        let notified = self.notify.notified();
        if !self.is_raised() {
            notified.await;
        }
    }
}

/// What came of one attempt.
#[derive(Debug, Clone)]
pub enum StepOutcome {
    /// It was done.
    Completed {
        /// Its output, already checked to be readable.
        output: Payload,
        /// What its compensation is to be given, if it has one.
        undo: Option<UndoArgs>,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Box<Failure>,
        /// Whether a further attempt may help, by the failure itself and the step's `if`.
        retryable: bool,
        /// What its compensation is to be given, if it was done all the same and only its output cannot be recorded.
        undo: Option<UndoArgs>,
    },
}

/// An attempt of a step.
pub type StepFuture = Pin<Box<dyn Future<Output = StepOutcome> + Send>>;

/// What a workflow body is made of.
pub struct Body {
    /// The run.
    pub run: RunId,
    /// Its durable calls.
    pub calls: Arc<Calls>,
    /// Its input.
    pub input: Payload,
    /// Bounds on what it returns.
    pub limits: Limits,
}

/// A workflow body.
pub type BodyFuture = Pin<Box<dyn Future<Output = Result<Payload, Failure>> + Send>>;
