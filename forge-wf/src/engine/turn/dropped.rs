//! Steps that go on although nobody waits for them any more: those with a compensation, and all of them for a while when the
//! run is stopped.
//!
//! What comes of one is not told to the body. If it was done it is recorded as abandoned, with how to undo it; if it was not,
//! without; and if nobody knows, its entry stays as it began.

use super::Turn;
use super::attempts::open_entry;
use crate::engine::compensate;
use crate::engine::definition::StepOutcome;
use crate::engine::steps::{Stage, StepKind, StepState};
use crate::journal::{Entry, EntryState};
use crate::model::{CallId, Failure};

impl Turn {
    /// Nobody waits for this step any more. One that runs goes on if it can be undone, or if it is to be let go `gently`.
    pub(super) fn drop_step(&mut self, call: &CallId, gently: bool) {
        let Some(state) = self.steps.get_mut(call) else { return };
        let compensable = state.is_compensable();
        match &state.stage {
            Stage::Running(_) if compensable || gently => self.steps.let_go(call),
            Stage::Held | Stage::Backoff(_) if compensable => {
                if let Some(state) = self.steps.take_back(call).filter(|state| !may_have_been_done(state)) {
                    self.abandon_step(call, &state, |_| ());
                }
            }
            _ => self.steps.drop_call(call),
        }
    }

    /// A step that was let go has ended.
    pub(super) fn let_go_ended(&mut self, call: &CallId, outcome: Option<Box<StepOutcome>>) {
        let Some(state) = self.steps.remove(call) else { return };
        if state.kind == StepKind::Undo {
            let done = matches!(outcome.as_deref(), Some(StepOutcome::Completed { .. }));
            if done {
                self.undone_unseen(&state, call);
            }
            return;
        }
        if !state.is_compensable() {
            return;
        }
        let step = state.request.step;
        match outcome.map(|outcome| *outcome) {
            Some(StepOutcome::Completed { undo, .. } | StepOutcome::Failed { undo: undo @ Some(_), .. }) => {
                self.abandon_step(call, &state, |entry| compensate::done(entry, step, undo));
            }
            Some(StepOutcome::Failed { failure, .. }) if !compensate::leaves_in_doubt(&failure) => {
                self.abandon_step(call, &state, |_| ());
            }
            _ => {}
        }
    }

    fn abandon_step(&mut self, call: &CallId, state: &StepState, change: impl FnOnce(&mut Entry)) {
        let mut entry = open_entry(call, state, self.now());
        entry.state = EntryState::Abandoned;
        (entry.undo, entry.undo_state, entry.due_at) = (None, None, None);
        change(&mut entry);
        self.note_open(&entry);
        self.stage(self.entry(entry, false));
    }

    /// What has no place in the order of deliveries, and may have to be undone.
    pub(super) fn note_open(&mut self, entry: &Entry) {
        if let Some(drive) = self.course.drive() {
            drive.note_open(entry);
        }
    }
}

/// Whether it may have been done, though it does not run now.
fn may_have_been_done(state: &StepState) -> bool {
    match state.last_failure.as_ref().and_then(|failure| failure.decode::<Failure>().ok()) {
        Some(failure) if matches!(state.stage, Stage::Backoff(_)) => compensate::leaves_in_doubt(&failure),
        _ => state.begun_before,
    }
}
