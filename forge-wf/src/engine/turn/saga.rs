//! Undoing in the body: what a saga that has failed asks for, one step after the other.
//!
//! These are calls of the body like all others, with their place in the order of deliveries, so a replay takes the same way
//! back. What they have undone, the end of the run does not undo again.

use super::Turn;
use super::undo::{gives_up, stuck};
use super::waits::Ready;
use crate::engine::compensate;
use crate::engine::definition::UndoArgs;
use crate::engine::drive::Stuck;
use crate::engine::request::{StepRequest, UndoRequest};
use crate::engine::steps::{StepKind, StepState};
use crate::engine::unwind::{resolve_call, undo_call, undone_call};
use crate::engine::waits::WaitsFor;
use crate::engine::writer::Staged;
use crate::journal::{Entry, EntryKind, EntryState, UndoState};
use crate::model::{BlockReason, CallId, Payload};

impl Turn {
    /// A saga undoes a step, or finds out whether it was done.
    pub(super) fn begin_undo(&mut self, call: CallId, request: UndoRequest, prior: Option<Entry>) {
        let UndoRequest { of, undo, resolves } = request;
        let undone = self.course.drive().and_then(|drive| drive.replay().history().find_delivered(&of).cloned());
        match undone.and_then(|undone| undone.undo_state.map(|state| (state, undone))) {
            Some((UndoState::Done | UndoState::Skipped, _)) => {
                let kind = if resolves.is_some() { EntryKind::Resolve } else { EntryKind::Undo };
                self.insert_wait(call.clone(), prior.is_some(), WaitsFor::Settled(kind));
                return self.arrived.push_back((call, Ready::null()));
            }
            // What it is to be given could not be found out.
            Some((UndoState::Failed, undone)) if prior.is_none() => return self.stuck(stuck(&undone, None)),
            _ => {}
        }
        let Some(step) = self.engine.registry.step(undo.digest) else {
            // Nobody has to decide anything: the next build that has it goes on.
            let message = format!(
                "{of} is undone by {}, which this build does not have, or not with these arguments: deploy one that does",
                undo.step
            );
            return self.stuck(Stuck { reason: BlockReason::Divergence, message });
        };
        let kind = match resolves {
            Some(attempts) => StepKind::Resolve { of, attempts },
            None => StepKind::Undo,
        };
        let request = StepRequest { step, options: step.options, args: Ok(undo.args), args_hash: 0 };
        self.begin_step(call, kind, request, prior);
    }

    /// What a saga asked to be undone or found out about has its outcome.
    pub(super) async fn record_undo_in_body(&mut self, step: &StepState, mut entry: Entry, undo: Option<UndoArgs>) {
        entry.kind = step.kind.entry_kind();
        let undone = undone_call(&entry.call).expect("it is named after what it undoes");
        if gives_up(step, &entry) {
            tracing::error!(run = %self.run.id, call = %entry.call, attempts = entry.attempts, "an undo gave up; an operator decides");
            entry.state = EntryState::Started;
            // Nobody knows whether it was done, now as before: only the record says that this gave up.
            let original = match step.kind {
                StepKind::Undo => self.note_undo(step, &undone, UndoState::Failed),
                _ => None,
            };
            if original.is_none() {
                entry.undo_state = Some(UndoState::Failed);
            }
            let known = self.course.drive().and_then(|drive| drive.replay().history().find_delivered(&undone).cloned());
            let stuck = stuck(&known.unwrap_or_else(|| entry.clone()), Some(&entry));
            self.note_open(&entry);
            let staged = self.entry(entry, !step.row);
            self.stage(staged);
            self.stage_undone(original);
            return self.stuck(stuck);
        }
        let original = match step.kind {
            StepKind::Undo => {
                // Nobody reads what an undo returned.
                entry.output = Some(Payload::null());
                self.note_undo(step, &undone, UndoState::Done)
            }
            _ => {
                compensate::done(&mut entry, step.request.step, undo);
                None
            }
        };
        if self.course.drive().is_some_and(|drive| drive.deliver(&mut entry)) {
            let staged = self.entry(entry, !step.row);
            self.stage(staged);
            self.stage_undone(original);
            if step.kind == StepKind::Undo {
                // What was found out about it says the same, for people.
                let resolved = self.note_undo(step, &resolve_call(&undone), UndoState::Done);
                self.stage_undone(resolved);
            }
            self.advance().await;
        }
    }

    /// An undo of a saga was done after the run was stopped: nobody is told, and nobody does it again.
    pub(super) fn undone_unseen(&mut self, step: &StepState, call: &CallId) {
        let Some(undone) = undone_call(call) else { return };
        let mut entry = Entry::new(call.clone(), step.kind.entry_kind(), EntryState::Completed, self.now());
        (entry.attempts, entry.output) = (step.attempts as i32 + 1, Some(Payload::null()));
        let original = self.note_undo(step, &undone, UndoState::Done);
        let staged = self.entry(entry, !step.row);
        self.stage(staged);
        self.stage_undone(original);
    }

    /// An operator has decided about `call`, or about all that gave up, before the body begins: it goes on from there. One that is
    /// to be tried again has all its attempts.
    pub(super) fn settle_undo_in_body(&mut self, call: Option<&CallId>, state: UndoState) {
        self.settle_dropped(call, state);
        let Some(drive) = self.course.drive() else { return };
        let history = drive.replay().history();
        let failed = |entry: &Entry| entry.undo_state == Some(UndoState::Failed);
        let undos = history.undoable().filter(failed).map(|entry| {
            let of = undone_call(&entry.call).unwrap_or(entry.call);
            let record = history.open(&undo_call(&of)).cloned();
            (of, record)
        });
        let unresolved = history.open_entries().filter(|entry| entry.kind == EntryKind::Resolve && failed(entry));
        let unresolved = unresolved.filter_map(|entry| Some((undone_call(&entry.call)?, Some(entry.clone()))));
        let given_up: Vec<_> = undos.chain(unresolved).collect();
        for (of, record) in given_up.into_iter().filter(|(of, _)| call.is_none_or(|call| call == of)) {
            let Some(drive) = self.course.drive() else { return };
            let changed = match record {
                Some(record) if state == UndoState::Open => {
                    let again = Entry { attempts: 0, due_at: None, undo_state: None, ..record };
                    drive.note_open(&again);
                    Some(again)
                }
                _ if state == UndoState::Open => None,
                _ => drive.note_undo(&of, state),
            };
            self.stage_undone(changed);
        }
    }

    /// The entry of a step that is undone, with what undoes it: of that its own row is written anew.
    fn note_undo(&mut self, step: &StepState, call: &CallId, state: UndoState) -> Option<Entry> {
        let mut entry = self.course.drive()?.note_undo(call, state)?;
        // Its arguments are not kept in memory. One of which nobody knew whether it was done names itself, and stays so.
        if let Some(undo) = entry.undo.as_mut().filter(|undo| undo.step == step.request.step.key)
            && let Ok(args) = &step.request.args
        {
            undo.args = args.clone();
        }
        Some(entry)
    }

    /// Stages what undoing has changed of an entry, to be written with the record of that.
    fn stage_undone(&mut self, original: Option<Entry>) {
        if let Some(original) = original {
            let staged = Staged { joined: true, ..self.entry(original, false) };
            self.stage(staged);
        }
    }
}
