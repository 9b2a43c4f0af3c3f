//! The steps of a turn: begun, held back until it is safe, attempted, tried again, recorded.
//!
//! Takes what the body asks for and what the tasks of attempts report; hands outcomes to the body and to the writer.
//! Never starts a step before everything the body was handed is committed, nor on a lease that may be lost.

use std::time::Instant;

use super::{Course, Message, Turn};
use crate::engine::compensate;
use crate::engine::config::{FOR_EVER, SHOW_STARTED_AFTER};
use crate::engine::definition::{StepOutcome, UndoArgs};
use crate::engine::replay::Start;
use crate::engine::request::{Request, StepRequest};
use crate::engine::step;
use crate::engine::steps::{Fired, Stage, StepKind, StepState};
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Payload, Timestamp};
use crate::store::ClaimedRun;

impl Turn {
    pub(super) fn begin(&mut self, start: Start) {
        let Start { call, request, prior } = start;
        let request = match request {
            Request::Step(request) => request,
            Request::Undo(request) => return self.begin_undo(call, request, prior),
            wait => return self.begin_wait(call, wait, prior),
        };
        self.begin_step(call, StepKind::Step, request, prior);
    }

    /// A step begins; `prior` is what an earlier turn has recorded of it.
    pub(super) fn begin_step(&mut self, call: CallId, kind: StepKind, request: StepRequest, prior: Option<Entry>) {
        let attempts = prior.as_ref().map_or(0, |entry| entry.attempts.max(0) as u32);
        let due = prior.as_ref().and_then(|entry| entry.due_at);
        let last_failure = prior.as_ref().and_then(|entry| entry.failure.clone());
        let (row, stage) = (prior.is_some(), Stage::Held);
        let mut state = StepState { kind, request, begun_before: row, attempts, row, last_failure, stage };
        if state.is_compensable() && !row {
            // In the commit that its start waits for anyway: what may have happened is then known to whoever undoes it.
            state.row = true;
            let entry = open_entry(&call, &state, self.now());
            self.note_open(&entry);
            self.stage(self.entry(entry, true));
        }
        match due {
            Some(due) if due > self.engine.clock.now() => {
                self.steps.insert_waiting(call.clone(), StepState { stage: Stage::Backoff(due), ..state });
                self.steps.set_timer(self.instant_of(due), call, Fired::Due);
            }
            _ => self.steps.insert(call, state),
        }
    }

    /// Starts what may start: everything the body was handed before is committed, and the lease is good.
    pub(super) fn start_held(&mut self) {
        self.recheck_lease = None;
        if self.leaving.is_some() || self.draining || self.paused || !self.steps.has_startable(self.acked) {
            self.slot = None;
            return;
        }
        while self.steps.has_startable(self.acked) {
            if !self.session.is_fresh() {
                self.recheck_lease = Some(Instant::now() + self.engine.config.heartbeat / 10);
                return;
            }
            if self.permit.is_none() {
                // Waited for beside everything else: a timer or an event may come first.
                let slots = self.engine.slots.clone();
                self.slot.get_or_insert_with(|| Box::pin(async { slots.acquire_owned().await.ok() }));
                return;
            }
            self.note_executing();
            let Some(call) = self.steps.take_startable(self.acked) else { return };
            self.start(call);
        }
    }

    fn start(&mut self, call: CallId) {
        let Some(state) = self.steps.get_mut(&call) else { return };
        let args = match &state.request.args {
            Ok(args) => args.clone(),
            Err(failure) => {
                let outcome = StepOutcome::Failed { failure: failure.clone(), retryable: false, undo: None };
                let _ = self.outbox.send(Message::AttemptEnded(call, Some(Box::new(outcome))));
                return;
            }
        };
        let (seen, before) = match &state.kind {
            StepKind::Resolve { of, attempts } => (of.clone(), *attempts),
            StepKind::Step | StepKind::Undo => (call.clone(), 0),
        };
        let env = self.engine.step_env(&self.run, seen, before + state.attempts + 1);
        let (options, turn) = (&state.request.options, self.outbox.clone());
        let attempt = step::spawn(state.request.step, call.clone(), env, args, options.timeout, turn);
        state.stage = Stage::Running(attempt);
        if !state.row {
            self.steps.set_timer(Instant::now() + SHOW_STARTED_AFTER, call, Fired::Show);
        }
    }

    pub(super) async fn attempt_ended(&mut self, call: CallId, outcome: Option<Box<StepOutcome>>) {
        let Some(state) = self.steps.get_mut(&call) else { return };
        if matches!(state.stage, Stage::LetGo(_)) {
            return self.let_go_ended(&call, outcome);
        }
        if self.leaving.is_some() || matches!(state.stage, Stage::Aborting) {
            self.steps.remove(&call);
            self.dropped.look_again();
            return;
        }
        state.attempts += 1;
        let attempt = state.attempts;
        match outcome.map_or_else(|| step::vanished(&call), |outcome| *outcome) {
            StepOutcome::Completed { output, undo } => self.record(call, Ok(output), undo).await,
            StepOutcome::Failed { failure, retryable, undo } => {
                let policy = state.request.options.retry.filter(|_| retryable && !failure.is_permanent());
                let chance = chance(&call, &self.run, attempt);
                let wait = policy.and_then(|retry| retry.wait_after(attempt, failure.retry_after(), chance));
                let payload = failure.to_payload(&self.engine.config.limits);
                match wait {
                    None => self.record(call, Err(payload), undo).await,
                    Some(wait) => {
                        tracing::info!(run = %self.run.id, %call, attempt, %failure, ?wait, "an attempt failed; it will be repeated");
                        let now = self.now();
                        self.back_off(call, now + wait.min(FOR_EVER), payload);
                    }
                }
            }
        }
    }

    fn back_off(&mut self, call: CallId, due: Timestamp, failure: Payload) {
        let at = self.now();
        let Some(state) = self.steps.get_mut(&call) else { return };
        state.stage = Stage::Backoff(due);
        state.last_failure = Some(failure);
        let fresh = !std::mem::replace(&mut state.row, true);
        let mut entry = open_entry(&call, state, at);
        entry.due_at = Some(due);
        self.stage(self.entry(entry, fresh));
        self.steps.set_timer(self.instant_of(due), call, Fired::Due);
    }

    /// Gives an outcome its place in the journal and hands it to the body.
    async fn record(&mut self, call: CallId, outcome: Result<Payload, Payload>, undo: Option<UndoArgs>) {
        let at = self.now();
        let Some(step) = self.steps.remove(&call) else { return };
        let state = if outcome.is_ok() { EntryState::Completed } else { EntryState::Failed };
        let mut entry = Entry::new(call, EntryKind::Step, state, at);
        entry.args_hash = step.request.args_hash;
        entry.attempts = step.attempts as i32;
        match outcome {
            Ok(output) => entry.output = Some(output),
            Err(failure) => entry.failure = Some(failure),
        }
        if step.kind != StepKind::Step {
            return match self.course {
                Course::Undo(_) => self.record_undo(&step, entry, undo),
                Course::Forward(_) if self.dropped.is_undoing(&entry.call) => {
                    self.record_undo_of_dropped(&step, entry, undo);
                }
                Course::Forward(_) => self.record_undo_in_body(&step, entry, undo).await,
            };
        }
        if step.is_compensable() {
            compensate::ended(&mut entry, &step.request, undo);
        }
        let delivered = self.course.drive().is_some_and(|drive| drive.deliver(&mut entry));
        if delivered {
            if let Some(counters) = &self.counters {
                counters.ran_now();
            }
            self.stage(self.entry(entry, !step.row));
            self.advance().await;
        }
    }

    pub(super) fn fire_timers(&mut self) {
        let now = Instant::now();
        while let Some((call, fired)) = self.steps.fired(now) {
            match fired {
                Fired::Abort => self.steps.abort_let_go(&call),
                Fired::Due => {
                    if let Some(state) = self.steps.get_mut(&call) {
                        state.stage = Stage::Held;
                        self.steps.hold_again(call, self.ticket);
                    }
                }
                Fired::Show => {
                    let at = self.now();
                    if let Some(state) = self.steps.get_mut(&call)
                        && matches!(state.stage, Stage::Running(_))
                        && !std::mem::replace(&mut state.row, true)
                    {
                        let entry = open_entry(&call, state, at);
                        self.stage(self.entry(entry, true));
                    }
                }
            }
        }
    }
}

/// A `started` entry of a step that has no outcome yet.
pub(super) fn open_entry(call: &CallId, state: &StepState, at: Timestamp) -> Entry {
    let mut entry = Entry::new(call.clone(), state.kind.entry_kind(), EntryState::Started, at);
    entry.args_hash = state.request.args_hash;
    entry.args = state.request.args.as_ref().ok().cloned();
    if state.is_compensable()
        && let Ok(args) = &state.request.args
    {
        compensate::begun(&mut entry, state.request.step, args);
    }
    entry.attempts = state.attempts as i32;
    entry.failure = state.last_failure.clone();
    entry
}

/// A number from 0 to 1 that differs between runs, calls and attempts: jitter needs no more than that.
fn chance(call: &CallId, run: &ClaimedRun, attempt: u32) -> f64 {
    let text = format!("{}{call}{attempt}", run.id);
    (xxhash_rust::xxh3::xxh3_64(text.as_bytes()) >> 11) as f64 / (1u64 << 53) as f64
}
