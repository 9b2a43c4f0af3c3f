//! A turn on its way back: begins what is to be undone next, records what came of it, and ends the run.
//!
//! The plan is [`Unwinding`](crate::engine::unwind::Unwinding)'s. Each undo is a step with its own policy of attempts, and
//! starts only when the one before is committed, like every step.

use super::Turn;
use super::course::Course;
use crate::engine::compensate;
use crate::engine::definition::UndoArgs;
use crate::engine::drive::Stuck;
use crate::engine::leaving::Leaving;
use crate::engine::request::StepRequest;
use crate::engine::steps::{StepKind, StepState};
use crate::engine::unwind::{ANYONE, Next, Unwinding, resolve_call, undo_call};
use crate::journal::{Entry, EntryState};
use crate::model::{BlockReason, Payload, RunId, State};
use crate::store::Due;

impl Turn {
    /// Begins what is next on the way back, or ends the run.
    pub(super) fn unwind(&mut self) {
        if self.leaving.is_some() || self.paused || !self.steps.is_empty() {
            return;
        }
        let Course::Undo(unwinding) = &self.course else { return };
        let (call, kind, args, prior) = match unwinding.next() {
            Next::Undo { entry, undo, prior } => (undo_call(&entry.call), StepKind::Undo, Some(&undo.args), prior),
            Next::Resolve { entry, prior } => {
                let kind = StepKind::Resolve { of: entry.call.clone(), attempts: entry.attempts.max(0) as u32 };
                (resolve_call(&entry.call), kind, entry.args.as_ref(), prior)
            }
            // Its answer is mail.
            Next::Await { .. } => {
                self.run.needs = ANYONE;
                return;
            }
            Next::Stuck { entry, prior } => {
                let stuck = stuck(entry, prior);
                return self.stuck(stuck);
            }
            Next::End => {
                let ending = unwinding.ending().clone();
                return self.leave(Leaving::Ended(Box::new(ending)));
            }
        };
        let (args, prior) = (args.cloned().unwrap_or_else(Payload::null), prior.cloned());
        let needs = unwinding.needs().expect("what is run has a step");
        self.run.needs = needs;
        match self.engine.registry.step(needs) {
            Some(step) => {
                let request = StepRequest { step, options: step.options, args: Ok(args), args_hash: 0 };
                self.begin_step(call, kind, request, prior);
            }
            // A worker that has the step takes the run.
            None => self.leave(Leaving::Released(State::Ready, Due::Now, None)),
        }
    }

    /// Whether it can only wait for a child that was asked to end.
    pub(super) fn awaits_child(&self) -> bool {
        matches!(&self.course, Course::Undo(unwinding) if matches!(unwinding.next(), Next::Await { .. }))
    }

    /// An undo, or the step that was run to find out, has its outcome.
    pub(super) fn record_undo(&mut self, step: &StepState, entry: Entry, undo: Option<UndoArgs>) {
        let Course::Undo(unwinding) = &mut self.course else { return };
        let changed = changed_by(self.run.id, unwinding, step, entry, undo);
        self.stage_together(changed.into_iter().enumerate().map(|(place, entry)| (entry, place == 0 && !step.row)));
        self.unwind();
    }
}

/// What changes by this outcome of an undo, or of the step that was run to find out: its own entry first.
pub(super) fn changed_by(
    run: RunId,
    unwinding: &mut Unwinding,
    step: &StepState,
    mut entry: Entry,
    undo: Option<UndoArgs>,
) -> Vec<Entry> {
    entry.kind = step.kind.entry_kind();
    if gives_up(step, &entry) {
        tracing::error!(%run, call = %entry.call, attempts = entry.attempts, "an undo gave up; an operator decides");
        // Without an outcome, so that an operator may have it tried again.
        (entry.state, entry.args) = (EntryState::Started, None);
        return unwinding.give_up(entry);
    }
    match step.kind {
        // Nobody reads what an undo returned.
        StepKind::Undo => entry.output = Some(Payload::null()),
        _ => compensate::done(&mut entry, step.request.step, undo),
    }
    unwinding.record(entry)
}

/// Whether this outcome of an undo, or of the step that was run to find out, leaves it to an operator.
pub(super) fn gives_up(step: &StepState, entry: &Entry) -> bool {
    match step.kind {
        StepKind::Undo => entry.state == EntryState::Failed,
        _ => entry.read_failure().is_some_and(|failure| compensate::leaves_in_doubt(&failure)),
    }
}

pub(super) fn stuck(entry: &Entry, prior: Option<&Entry>) -> Stuck {
    let failure = prior.and_then(Entry::read_failure);
    let step = entry.undo.as_ref().map_or("its compensation", |undo| &undo.step);
    let why = match failure {
        Some(failure) => {
            format!("{step} gave up after {} attempts: {failure}", prior.map_or(0, |prior| prior.attempts))
        }
        None if entry.undo_state.is_none() => "nobody knows whether it was done, and it is not run again".to_owned(),
        None => format!("the arguments of {step} could not be found out"),
    };
    let message =
        format!("{} cannot be undone: {why}; an operator may retry it, skip it or mark it as done", entry.call);
    Stuck { reason: BlockReason::Compensation, message }
}
