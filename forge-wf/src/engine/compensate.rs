//! What an entry keeps so that it can be undone without its body.
//!
//! Takes a step's definition, its arguments and what came of it; gives the entry's undo and how far it came. Pure but for the
//! user's own expression in `compensate = ..`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::definition::{StepDefinition, UndoArgs, UndoDefinition, WorkflowDefinition};
use super::request::StepRequest;
use super::unwind::ANYONE;
use crate::journal::{Entry, Recipe, Undo, UndoState};
use crate::model::panic::panic_message;
use crate::model::{Failure, FailureKind, Payload};

/// What the compensation is to be given. Without an output: if nobody knows whether the step was done; `None` if it cannot be
/// called then.
pub fn undo_args(undo: &UndoDefinition, args: &Payload, output: Option<&Payload>) -> Option<UndoArgs> {
    let found = catch_unwind(AssertUnwindSafe(|| (undo.args)(args, output)));
    found.unwrap_or_else(|panic| Some(Err(format!("finding them out panicked: {}", panic_message(panic.as_ref())))))
}

/// Whether nobody knows if the step was done, though its attempts are used up.
pub fn leaves_in_doubt(failure: &Failure) -> bool {
    matches!(failure.kind(), FailureKind::TimedOut | FailureKind::Panicked)
}

/// Whether nobody knew if the step was done when it failed. Unlike the undo state, what this looks at never changes, so a
/// replay answers alike.
pub fn was_in_doubt(entry: &Entry) -> bool {
    let names_itself = entry.undo.as_ref().is_some_and(|undo| *undo.step == *entry.call.key);
    names_itself && entry.read_failure().is_some_and(|failure| leaves_in_doubt(&failure))
}

/// A compensable step is about to begin: from now on nobody knows whether it was done.
pub fn begun(entry: &mut Entry, step: &StepDefinition, args: &Payload) {
    let Some(undo) = &step.undo else { return };
    entry.args = Some(args.clone());
    match undo_args(undo, args, None) {
        Some(Ok(args)) => set(entry, (undo.step)(), args, Some(UndoState::Open)),
        _ => set(entry, step, Payload::null(), None),
    }
}

/// A compensable step was done. Its compensation waits for what `args` says; if that could not be found out, for an operator.
pub fn done(entry: &mut Entry, step: &StepDefinition, args: Option<UndoArgs>) {
    match (&step.undo, args) {
        (Some(undo), Some(Ok(args))) => set(entry, (undo.step)(), args, Some(UndoState::Open)),
        (Some(undo), Some(Err(_))) => set(entry, (undo.step)(), Payload::null(), Some(UndoState::Failed)),
        _ => {}
    }
}

/// A compensable step has its outcome, which is in the entry already.
pub fn ended(entry: &mut Entry, request: &StepRequest, undo: Option<UndoArgs>) {
    match (&undo, entry.read_failure(), &request.args) {
        // A step whose output cannot be recorded was done all the same.
        (Some(_), ..) => done(entry, request.step, undo),
        (None, Some(failure), Ok(args)) if leaves_in_doubt(&failure) => begun(entry, request.step, args),
        _ => {}
    }
}

/// How whoever called this workflow undoes a run of it that returned `output`. The run finds that out itself: who waits for it
/// may be executed by workers that do not have the workflow.
pub fn of_child(workflow: &WorkflowDefinition, input: &Payload, output: &Payload) -> Option<Recipe> {
    let undo = workflow.undo.as_ref()?;
    let (args, state) = match undo_args(undo, input, Some(output))? {
        Ok(args) => (args, UndoState::Open),
        Err(_) => (Payload::null(), UndoState::Failed),
    };
    Some(Recipe { undo: written((undo.step)(), args), state })
}

/// A child begins that can be undone: until it has answered, nobody knows whether it has done its work.
pub fn begun_child(entry: &mut Entry) {
    entry.undo = Some(Undo { step: entry.call.key.to_string(), digest: ANYONE, args: Payload::null() });
}

fn set(entry: &mut Entry, step: &StepDefinition, args: Payload, state: Option<UndoState>) {
    entry.undo = Some(written(step, args));
    entry.undo_state = state;
}

fn written(step: &StepDefinition, args: Payload) -> Undo {
    Undo { step: step.key.to_owned(), digest: step.digest, args }
}
