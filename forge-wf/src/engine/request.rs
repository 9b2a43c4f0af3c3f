//! What a durable call asks for: a step, a point in time, an event, a child run.

use std::time::Duration;

use super::definition::{Place, StepDefinition, StepOptions, WorkflowDefinition};
use crate::journal::Undo;
use crate::model::{CallId, Failure, Payload, Timestamp};

/// What a durable call asks for.
#[derive(Clone)]
pub enum Request {
    /// Work with side effects.
    Step(StepRequest),
    /// A point in time.
    Time(Until),
    /// An event from outside; its name is in the call's key.
    Event(EventRequest),
    /// A child run.
    Child(ChildRequest),
    /// The undoing of a step, in the body.
    Undo(UndoRequest),
}

/// What a step call asks for.
#[derive(Clone)]
pub struct StepRequest {
    /// The step.
    pub step: &'static StepDefinition,
    /// How it is tried: the step's own options, or what the call said instead.
    pub options: StepOptions,
    /// Its arguments, or why they cannot be written as JSON.
    pub args: Result<Payload, Box<Failure>>,
    /// Their fingerprint.
    pub args_hash: u64,
}

/// What undoing a step in the body asks for.
#[derive(Clone)]
pub struct UndoRequest {
    /// The step's call.
    pub of: CallId,
    /// The step that is run, and its arguments.
    pub undo: Undo,
    /// If it is the undone step itself, run once more since nobody knows whether it was done: attempts that were made.
    pub resolves: Option<u32>,
}

/// Until when a timer runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// This long after its effect began.
    After(Duration),
    /// This point in time.
    At(Timestamp),
}

/// What a wait for an event asks for.
#[derive(Clone, Copy)]
pub struct EventRequest {
    /// Whether a payload is of the type that is waited for; if not, what serde says.
    pub fits: fn(&Payload) -> Result<(), String>,
}

/// What a call of a child run asks for.
#[derive(Clone)]
pub struct ChildRequest {
    /// Its workflow.
    pub workflow: &'static WorkflowDefinition,
    /// Its input, or why it cannot be written as JSON.
    pub input: Result<Payload, Box<Failure>>,
    /// Fingerprint of its input.
    pub args_hash: u64,
    /// Whether the caller does not wait for it.
    pub detached: bool,
}

impl Request {
    /// Fingerprint of what a replay must ask for again. A timer has none: its due time is in the journal, so a deploy that
    /// changes its length changes the timers that begin later.
    pub fn args_hash(&self) -> u64 {
        match self {
            Self::Step(step) => step.args_hash,
            Self::Child(child) => child.args_hash,
            Self::Time(_) | Self::Event(_) | Self::Undo(_) => 0,
        }
    }

    /// Where what is called is written.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Step(step) => Some(step.step.place),
            Self::Child(child) => Some(child.workflow.place),
            Self::Time(_) | Self::Event(_) | Self::Undo(_) => None,
        }
    }
}
