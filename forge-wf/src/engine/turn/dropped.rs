//! Steps that go on although nobody waits for them any more: those with a compensation, and all of them for a while when the
//! run is stopped.
//!
//! What comes of one is not told to the body. If it was done it is recorded as abandoned, with how to undo it; if it was not,
//! without; and if nobody knows, its entry stays as it began.
//!
//! What was dropped and done is undone at once, beside the body, one after the other; what is left of that at the run's end is
//! undone then. These undos have no place in the order of deliveries: the body hears of none.

use std::collections::HashSet;
use std::time::Instant;

use super::Turn;
use super::attempts::open_entry;
use super::undo::changed_by;
use crate::engine::compensate;
use crate::engine::definition::{StepOutcome, UndoArgs};
use crate::engine::request::StepRequest;
use crate::engine::steps::{Stage, StepKind, StepState};
use crate::engine::unwind::{Cause, Ending, Next, Unwinding, resolve_call, undo_call};
use crate::journal::{Entry, EntryKind, EntryState, UndoState};
use crate::model::{CallId, Failure, Payload};

/// What the body has dropped and may have to be undone.
#[derive(Default)]
pub(in crate::engine) struct Dropped {
    calls: HashSet<CallId>,
    /// What undoes one of them just now.
    undoing: Option<CallId>,
    /// Whether something has come about since it was looked what to undo next.
    news: bool,
}

impl Dropped {
    /// What undoes one of them just now, and belongs to this no longer.
    pub(in crate::engine) fn take_undoing(&mut self) -> Option<CallId> {
        self.undoing.take()
    }

    /// Whether this call undoes one of them.
    pub(super) fn is_undoing(&self, call: &CallId) -> bool {
        self.undoing.as_ref() == Some(call)
    }

    /// Something has come about that may be what an undo waits for.
    pub(super) fn look_again(&mut self) {
        self.news = true;
    }
}

impl Turn {
    /// Nobody waits for this step any more. One that runs goes on if it can be undone or undoes itself, or if it is to be let go
    /// `gently`.
    pub(super) fn drop_step(&mut self, call: &CallId, gently: bool) {
        let Some(state) = self.steps.get_mut(call) else { return };
        let compensable = state.is_compensable();
        match &state.stage {
            Stage::Running(_) if compensable || gently || state.kind != StepKind::Step => {
                self.steps.let_go(call, Instant::now() + self.engine.config.grace);
            }
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
        self.dropped.look_again();
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
        self.dropped.look_again();
        let mut entry = open_entry(call, state, self.now());
        entry.state = EntryState::Abandoned;
        (entry.undo, entry.undo_state, entry.due_at) = (None, None, None);
        change(&mut entry);
        self.note_open(&entry);
        self.stage(self.entry(entry, false));
    }

    /// The body has dropped this call, in this life or in an earlier one.
    pub(super) fn note_dropped(&mut self, call: &CallId) {
        let open = self.course.drive().and_then(|drive| drive.replay().history().open(call));
        let Some(open) = open else { return };
        if open.undo.is_some() {
            self.dropped.calls.insert(call.clone());
        }
        self.dropped.look_again();
    }

    /// Undoes what the body has dropped, as soon as it is known to be done, or finds that out.
    pub(super) fn undo_dropped(&mut self) {
        if !self.dropped.news || self.leaving.is_some() || self.draining || self.paused {
            return;
        }
        self.note_settled();
        if self.dropped.undoing.as_ref().is_some_and(|call| self.steps.contains(call)) {
            return;
        }
        self.dropped.news = false;
        let plan = self.plan_for_dropped();
        let (call, kind, undo, args, prior) = match plan.next() {
            Next::Undo { entry, undo, prior } => {
                (undo_call(&entry.call), StepKind::Undo, Some(undo), Some(&undo.args), prior)
            }
            Next::Resolve { entry, prior } => {
                let kind = StepKind::Resolve { of: entry.call.clone(), attempts: entry.attempts.max(0).unsigned_abs() };
                (resolve_call(&entry.call), kind, entry.undo.as_ref(), entry.args.as_ref(), prior)
            }
            // The run's end leaves it to an operator.
            Next::Await { .. } | Next::Stuck { .. } | Next::End => return,
        };
        // A worker that lacks the step leaves it to the run's end, for which one that has it is looked for.
        let Some(step) = undo.and_then(|undo| self.engine.registry.step(undo.digest)) else { return };
        let args = Ok(args.cloned().unwrap_or_else(Payload::null));
        let request = StepRequest { step, options: step.options, args, args_hash: 0 };
        let prior = prior.cloned();
        self.dropped.undoing = Some(call.clone());
        self.begin_step(call, kind, request, prior);
    }

    /// Records of what the body has dropped that nothing of it is left to undo: it keeps the run from continuing as new no more.
    fn note_settled(&mut self) {
        let unsettled = self.calls.unsettled();
        if unsettled.is_empty() {
            return;
        }
        let plan = self.plan_for_dropped();
        for call in unsettled {
            if self.steps.contains(&call) {
                continue;
            }
            let open = self.course.drive().and_then(|drive| drive.replay().history().open(&call)).cloned();
            let Some(mut entry) = open.filter(|entry| plan.is_settled(entry)) else { continue };
            entry.settle(self.calls.settle(call));
            let staged = self.entry(entry, false);
            self.stage(staged);
        }
    }

    /// What is to be undone of all that the body has dropped, without what still runs.
    fn plan_for_dropped(&mut self) -> Unwinding {
        let Self { course, dropped, steps, .. } = self;
        let entries = course.drive().map(|drive| drive.replay().history()).into_iter();
        let is_in = |entry: &Entry| {
            let waits = entry.kind == EntryKind::Child && entry.undo_state.is_none();
            let is_dropped = dropped.calls.contains(&entry.call) && !steps.contains(&entry.call) && !waits;
            is_dropped || matches!(entry.kind, EntryKind::Undo | EntryKind::Resolve)
        };
        let entries = entries.flat_map(|history| history.open_entries()).filter(|entry| is_in(entry)).cloned();
        Unwinding::new(undoing_dropped(), entries)
    }

    /// An undo of what the body has dropped has its outcome, or the step that was run to find out. One that gave up is left to
    /// the run's end, and to an operator.
    pub(super) fn record_undo_of_dropped(&mut self, step: &StepState, entry: Entry, undo: Option<UndoArgs>) {
        let mut plan = self.plan_for_dropped();
        let mut changed = changed_by(self.run.id, &mut plan, step, entry, undo);
        for entry in &mut changed {
            entry.seq = None;
            self.note_open(entry);
        }
        self.stage_together(changed.into_iter().enumerate().map(|(place, entry)| (entry, place == 0 && !step.row)));
        self.dropped.undoing = None;
        self.dropped.look_again();
    }

    /// An operator has decided about an undo of what the body has dropped.
    pub(super) fn settle_dropped(&mut self, call: Option<&CallId>, state: UndoState) {
        let Some(drive) = self.course.drive() else { return };
        let history = drive.replay().history();
        let failed = |entry: &Entry| entry.undo_state == Some(UndoState::Failed);
        let gave_up = |entry: &Entry| failed(entry) || history.open(&resolve_call(&entry.call)).is_some_and(failed);
        let is_in = |entry: &&Entry| matches!(entry.kind, EntryKind::Undo | EntryKind::Resolve) || gave_up(entry);
        let entries: Vec<_> = history.open_entries().filter(is_in).cloned().collect();
        for entry in Unwinding::new(undoing_dropped(), entries).settle(call, state) {
            self.note_open(&entry);
            let staged = self.entry(entry, false);
            self.stage(staged);
        }
        self.dropped.look_again();
    }

    /// What has no place in the order of deliveries, and may have to be undone.
    pub(super) fn note_open(&mut self, entry: &Entry) {
        if let Some(drive) = self.course.drive() {
            drive.note_open(entry);
        }
    }
}

/// The end of a run that is about to go well: of that only what its body has dropped is undone.
fn undoing_dropped() -> Ending {
    Ending { cause: Cause::Dropped, result: Ok(Payload::null()), undone_by: None }
}

/// Whether it may have been done, though it does not run now.
fn may_have_been_done(state: &StepState) -> bool {
    match state.last_failure.as_ref().and_then(|failure| failure.decode::<Failure>().ok()) {
        Some(failure) if matches!(state.stage, Stage::Backoff(_)) => compensate::leaves_in_doubt(&failure),
        _ => state.begun_before,
    }
}
