//! The steps of one turn that have begun and have no outcome: held back, running, waiting for another attempt.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use super::request::StepRequest;
use super::step::Attempt;
use crate::journal::EntryKind;
use crate::model::{CallId, Payload, Timestamp};

/// What a step is run for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// The body calls it.
    Step,
    /// It undoes another one.
    Undo,
    /// Nobody knows whether it was done.
    Resolve {
        /// The call it was made by.
        of: CallId,
        /// Attempts that were made by that.
        attempts: u32,
    },
}

impl StepKind {
    /// The kind of its entries.
    pub fn entry_kind(&self) -> EntryKind {
        match self {
            Self::Step => EntryKind::Step,
            Self::Undo => EntryKind::Undo,
            Self::Resolve { .. } => EntryKind::Resolve,
        }
    }
}

/// One step that has begun.
pub struct StepState {
    /// What it is run for.
    pub kind: StepKind,
    /// What was asked for.
    pub request: StepRequest,
    /// Whether an earlier turn may have begun it.
    pub begun_before: bool,
    /// Attempts that ended.
    pub attempts: u32,
    /// Whether the journal has (or is about to have) a row for it.
    pub row: bool,
    /// The failure of the last attempt.
    pub last_failure: Option<Payload>,
    /// What it does now.
    pub stage: Stage,
}

impl StepState {
    /// Whether it is the body's and can be undone.
    pub fn is_compensable(&self) -> bool {
        self.kind == StepKind::Step && self.request.step.undo.is_some() && self.request.args.is_ok()
    }
}

/// What a step does now.
pub enum Stage {
    /// Waits until all that the run was handed before is committed.
    Held,
    /// An attempt runs.
    Running(Attempt),
    /// Nobody waits for it any more, and it may end by itself.
    LetGo(Attempt),
    /// It was aborted; its task has not ended yet.
    Aborting,
    /// Waits for its next attempt.
    Backoff(Timestamp),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: Instant,
    call: CallId,
    is: Fired,
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fired {
    /// The next attempt is due.
    Due,
    /// It has run long enough to be shown to people.
    Show,
    /// Nobody waits for it, and it had its time.
    Abort,
}

/// The steps of one turn.
#[derive(Default)]
pub struct Steps {
    table: HashMap<CallId, StepState>,
    held: VecDeque<(CallId, Option<u64>)>,
    timers: BinaryHeap<Reverse<Timer>>,
}

impl Steps {
    /// A step has begun and is held back.
    pub fn insert(&mut self, call: CallId, state: StepState) {
        self.held.push_back((call.clone(), None));
        self.table.insert(call, state);
    }

    /// A step that waits for its next attempt, by an earlier turn's record.
    pub fn insert_waiting(&mut self, call: CallId, state: StepState) {
        self.table.insert(call, state);
    }

    /// The step of this call.
    pub fn get_mut(&mut self, call: &CallId) -> Option<&mut StepState> {
        self.table.get_mut(call)
    }

    /// Forgets a step.
    pub fn remove(&mut self, call: &CallId) -> Option<StepState> {
        self.table.remove(call)
    }

    /// Everything held back so far waits for this commit.
    pub fn hold_for(&mut self, ticket: u64) {
        // Only the newest can be without a ticket.
        for (_, wanted) in self.held.iter_mut().rev() {
            if wanted.is_some() {
                break;
            }
            *wanted = Some(ticket);
        }
    }

    /// Whether some step may start once `acked` is committed.
    pub fn has_startable(&self, acked: u64) -> bool {
        self.held.front().is_some_and(|(_, ticket)| ticket.is_some_and(|ticket| ticket <= acked))
    }

    /// The next step that may start once `acked` is committed.
    pub fn take_startable(&mut self, acked: u64) -> Option<CallId> {
        if self.has_startable(acked) { self.held.pop_front().map(|(call, _)| call) } else { None }
    }

    /// A step is due again; nothing but `ticket` has to be committed first.
    pub fn hold_again(&mut self, call: CallId, ticket: u64) {
        self.held.push_back((call, Some(ticket)));
    }

    /// The body dropped a call: stops its attempt, if one runs. A call that replay or the same poll both began and
    /// dropped never became a step.
    pub fn drop_call(&mut self, call: &CallId) {
        let Some(state) = self.table.get_mut(call) else { return };
        match &state.stage {
            Stage::Running(attempt) => {
                attempt.abort();
                state.stage = Stage::Aborting;
            }
            Stage::LetGo(_) | Stage::Aborting => {}
            Stage::Held | Stage::Backoff(_) => drop(self.take_back(call)),
        }
    }

    /// Forgets a step that does not run.
    pub fn take_back(&mut self, call: &CallId) -> Option<StepState> {
        self.held.retain(|(held, _)| held != call);
        self.table.remove(call)
    }

    /// Nobody waits for this step any more, but it may end by itself until then. It hears of it.
    pub fn let_go(&mut self, call: &CallId, until: Instant) {
        let Some(state) = self.table.get_mut(call) else { return };
        state.stage = match std::mem::replace(&mut state.stage, Stage::Aborting) {
            Stage::Running(attempt) => {
                attempt.ask_to_end();
                Stage::LetGo(attempt)
            }
            other => other,
        };
        self.set_timer(until, call.clone(), Fired::Abort);
    }

    /// A step that was let go had its time.
    pub fn abort_let_go(&mut self, call: &CallId) {
        if let Some(state) = self.table.get_mut(call)
            && let Stage::LetGo(attempt) = &state.stage
        {
            attempt.abort();
            state.stage = Stage::Aborting;
        }
    }

    /// Whether this call is among them.
    pub fn contains(&self, call: &CallId) -> bool {
        self.table.contains_key(call)
    }

    /// All calls, in no order.
    pub fn calls(&self) -> Vec<CallId> {
        self.table.keys().cloned().collect()
    }

    /// Whether some step goes on although nobody waits for it.
    pub fn any_let_go(&self) -> bool {
        self.table.values().any(|state| matches!(state.stage, Stage::LetGo(_)))
    }

    /// Stops everything.
    pub fn abort_all(&mut self) {
        self.held.clear();
        self.timers.clear();
        self.table.retain(|_, state| match &state.stage {
            Stage::Running(attempt) | Stage::LetGo(attempt) => {
                attempt.abort();
                state.stage = Stage::Aborting;
                true
            }
            Stage::Aborting => true,
            Stage::Held | Stage::Backoff(_) => false,
        });
    }

    /// Calls whose task has not ended.
    pub fn with_task(&self) -> impl Iterator<Item = &CallId> {
        self.table
            .iter()
            .filter(|(_, state)| matches!(state.stage, Stage::Running(_) | Stage::LetGo(_) | Stage::Aborting))
            .map(|(call, _)| call)
    }

    /// Whether some task has not ended.
    pub fn any_task(&self) -> bool {
        self.with_task().next().is_some()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether all of them wait for another attempt.
    pub fn all_wait(&self) -> bool {
        self.table.values().all(|state| matches!(state.stage, Stage::Backoff(_)))
    }

    /// When the first of those that wait for another attempt is due.
    pub fn first_due(&self) -> Option<Timestamp> {
        let due = |state: &StepState| match state.stage {
            Stage::Backoff(due) => Some(due),
            _ => None,
        };
        self.table.values().filter_map(due).min()
    }

    /// Wakes the turn then, for this.
    pub fn set_timer(&mut self, at: Instant, call: CallId, is: Fired) {
        self.timers.push(Reverse(Timer { at, call, is }));
    }

    /// The first timer of a step that is still there. Steps end long before most of their timers, so those are
    /// cleared out here and not when the step ends.
    pub fn next_timer(&mut self) -> Option<Instant> {
        while let Some(Reverse(timer)) = self.timers.peek() {
            if self.table.contains_key(&timer.call) {
                return Some(timer.at);
            }
            self.timers.pop();
        }
        None
    }

    /// A timer that has fired by `now`.
    pub fn fired(&mut self, now: Instant) -> Option<(CallId, Fired)> {
        if self.next_timer()? > now {
            return None;
        }
        self.timers.pop().map(|Reverse(timer)| (timer.call, timer.is))
    }
}
