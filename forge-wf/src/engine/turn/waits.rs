//! The waits of a turn: begun, recorded when they have their outcome, dropped.
//!
//! Takes what the body asks for; hands it points in time that have come, events that are there and answers of children, one
//! at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Message, Turn};
use crate::engine::request::{ChildRequest, Request, Until};
use crate::engine::waits::{Wait, WaitsFor};
use crate::engine::writer::Along;
use crate::engine::{child, compensate};
use crate::journal::{Entry, EntryKind, EntryState, Recipe};
use crate::model::time::from_micros;
use crate::model::{CallId, Payload, Timestamp};
use crate::store::{Birth, Parent, RunImage};

/// Outcomes handed over before what they led to is written.
const READY_PER_ROUND: usize = 64;
/// Writes under way at the most while outcomes that are there already are handed over: a body that goes through a thousand
/// buffered events must not be ahead of the database by all of them.
const UNACKED_MAX: usize = 4;

/// The outcome of a wait.
pub(super) struct Ready {
    /// When it came about, by the database's clock.
    pub(super) at: Timestamp,
    /// Its output or failure, as the journal keeps it.
    pub(super) outcome: Result<Payload, Payload>,
    /// What is written with it.
    pub(super) along: Along,
    /// How it is undone.
    pub(super) recipe: Option<Recipe>,
}

impl Ready {
    /// An outcome that nobody sent.
    fn own(outcome: Result<Payload, Payload>, along: Along) -> Self {
        Self { at: Timestamp::MIN_UTC, outcome, along, recipe: None }
    }

    pub(super) fn null() -> Self {
        Self::own(Ok(Payload::null()), Along::default())
    }
}

impl Turn {
    pub(super) fn begin_wait(&mut self, call: CallId, request: Request, prior: Option<Entry>) {
        let row = prior.is_some();
        match request {
            Request::Step(_) | Request::Undo(_) => unreachable!("a step is no wait"),
            Request::Time(until) => {
                let (due, not_before) = match prior.and_then(|entry| entry.due_at) {
                    Some(due) => (due, None),
                    None => self.due(until),
                };
                // One that is over already is recorded as completed, and needs no row before.
                let staged = !row && due > self.engine.clock.now();
                let waits_for = WaitsFor::Time(due);
                self.waits.insert(call.clone(), Wait { row: row || staged, waits_for, not_before });
                if staged {
                    self.stage_started(call, EntryKind::Sleep, |entry| entry.due_at = Some(due));
                }
            }
            Request::Event(request) => {
                let name: Arc<str> = call.key.strip_prefix("event:").unwrap_or(&call.key).into();
                self.insert_wait(call.clone(), true, WaitsFor::Event(name, request));
                if !row {
                    self.stage_started(call, EntryKind::Event, |_| ());
                }
            }
            Request::Child(request) => self.begin_child(call, request, row),
        }
    }

    fn begin_child(&mut self, call: CallId, request: ChildRequest, row: bool) {
        let ChildRequest { workflow, input, args_hash, detached } = request;
        let id = child::child_id(self.run.id, self.run.generation, &call);
        let compensable = workflow.undo.is_some() && !detached;
        let waits_for = WaitsFor::Child { answer: child::result_mail_id(id), args_hash, compensable };
        let input = match input {
            Ok(input) => input,
            Err(failure) => {
                let outcome = Err(failure.to_payload(&self.engine.config.limits));
                self.insert_wait(call.clone(), row, waits_for);
                return self.arrived.push_back((call, Ready::own(outcome, Along::default())));
            }
        };
        let mut along = Along::default();
        if !row {
            let parent = Parent { run: self.run.id, call: (!detached).then(|| call.to_string().into()) };
            let run = child::new_child(id, parent, workflow, input, self.now());
            along.births.push(Birth { image: RunImage::ready(0, run.needs), run });
        }
        self.insert_wait(call.clone(), row || !detached, waits_for);
        if detached {
            let outcome = Ok(Payload::from_json_text(format!("\"{id}\"")));
            self.arrived.push_back((call, Ready::own(outcome, along)));
        } else if !row {
            let entry = child_entry(call, EntryState::Started, args_hash, compensable, self.now());
            let mut staged = self.entry(entry, true);
            staged.along = along;
            self.stage(staged);
        }
    }

    pub(super) fn insert_wait(&mut self, call: CallId, row: bool, waits_for: WaitsFor) {
        self.waits.insert(call, Wait { row, waits_for, not_before: None });
    }

    fn stage_started(&mut self, call: CallId, kind: EntryKind, change: impl FnOnce(&mut Entry)) {
        let mut entry = Entry::new(call, kind, EntryState::Started, self.now());
        change(&mut entry);
        self.stage(self.entry(entry, true));
    }

    /// When a timer that begins now is due, exact to the microsecond, as databases keep it; and when it may end by the monotonic
    /// clock, if it has a length. All that begin in one poll of the body begin in one moment, so they end in the order of their
    /// lengths.
    fn due(&mut self, until: Until) -> (Timestamp, Option<Instant>) {
        let whole = |due: Timestamp| from_micros(due.timestamp_micros());
        match until {
            Until::After(wait) if wait.is_zero() => (whole(self.now()), None),
            Until::After(wait) => {
                let begun = *self.polled_at.get_or_insert_with(|| self.engine.clock.moment());
                let due = begun.at.max(self.course.now()) + wait;
                // Up to the next microsecond, not down to the last.
                (whole(due + Duration::from_nanos(999)), begun.end(wait))
            }
            Until::At(time) => (whole(time), None),
        }
    }

    /// When the first timer may end.
    pub(super) fn next_timer(&mut self) -> Option<Instant> {
        let due = self.waits.first_due().map(|due| self.instant_of(due));
        due.max(self.waits.first_not_before())
    }

    /// This point in time of the database's clock, by the monotonic one.
    pub(super) fn instant_of(&self, due: Timestamp) -> Instant {
        let wait = (due - self.engine.clock.now()).to_std().unwrap_or_default();
        Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + self.engine.config.lease)
    }

    /// Whether outcomes that are there may be handed over.
    pub(super) fn may_deliver(&self) -> bool {
        self.leaving.is_none() && !self.draining && !self.paused && self.unacked.len() < UNACKED_MAX
    }

    /// Hands over what is ready, one by one, as far as it may.
    pub(super) async fn deliver_ready(&mut self) {
        for _ in 0..READY_PER_ROUND {
            if !self.may_deliver() {
                return;
            }
            let Some((call, ready)) = self.next_ready() else { return };
            self.record_wait(call, ready).await;
        }
        let _ = self.outbox.send(Message::GoOn);
    }

    /// What is handed over next: of a timer and of mail that are both there, what came first. So a worker that was away does
    /// not decide whether an answer came in time.
    fn next_ready(&mut self) -> Option<(CallId, Ready)> {
        let timer = self.timer_due();
        let due = timer.as_ref().map(|(_, due)| *due);
        let in_time = |sent_at: Timestamp| due.is_none_or(|due| sent_at <= due);
        if self.arrived.front().is_some_and(|(_, ready)| in_time(ready.at)) {
            return self.arrived.pop_front();
        }
        if let Some(event) = self.next_event(in_time) {
            return Some(event);
        }
        let (call, due) = timer?;
        self.has_mail_until(due).then(|| (call, Ready::null()))
    }

    /// The first timer, if it may end now, and when it was due.
    pub(super) fn timer_due(&mut self) -> Option<(CallId, Timestamp)> {
        let due = self.waits.first_due()?;
        Some((self.waits.due(self.engine.clock.now(), Instant::now())?, due))
    }

    /// Whether something is, or may be, there to be handed over.
    pub(super) fn has_ready(&mut self) -> bool {
        !self.arrived.is_empty()
            || self.waits.events().any(|(call, name, _)| self.mailbox.may_have(name, call))
            || self.timer_due().is_some()
    }

    async fn record_wait(&mut self, call: CallId, ready: Ready) {
        let at = self.now();
        let Some(wait) = self.waits.remove(&call) else { return self.along.extend(ready.along) };
        let state = if ready.outcome.is_ok() { EntryState::Completed } else { EntryState::Failed };
        let (kind, due_at, args_hash) = match wait.waits_for {
            WaitsFor::Time(due) => (EntryKind::Sleep, Some(due), 0),
            WaitsFor::Event(..) => (EntryKind::Event, None, 0),
            WaitsFor::Child { args_hash, .. } => (EntryKind::Child, None, args_hash),
            WaitsFor::Settled(kind) => (kind, None, 0),
        };
        let mut entry = Entry::new(call, kind, state, at);
        (entry.due_at, entry.args_hash) = (due_at, args_hash);
        entry.set_recipe(ready.recipe);
        match ready.outcome {
            Ok(output) => entry.output = Some(output),
            Err(failure) => entry.failure = Some(failure),
        }
        let delivered = self.course.drive().is_some_and(|drive| drive.deliver(&mut entry));
        assert!(delivered, "{} is among the waits of a body that does not wait for it", entry.call);
        let mut staged = self.entry(entry, !wait.row);
        staged.along = ready.along;
        self.stage(staged);
        self.advance().await;
    }

    /// The body dropped a call: a step is stopped, a child asked to end, and whatever people see as waiting is so no more.
    pub(super) fn drop_call(&mut self, call: &CallId) {
        self.drop_wait_or_step(call);
        self.note_dropped(call);
    }

    fn drop_wait_or_step(&mut self, call: &CallId) {
        let Some(wait) = self.waits.remove(call) else {
            self.drop_step(call, false);
            // Begun in an earlier life, and dropped by the last thing that is recorded: the cancel may not have been sent.
            let open = self.course.drive().and_then(|drive| drive.replay().history().open(call));
            if let Some(open) = open.filter(|open| open.kind == EntryKind::Child && open.state == EntryState::Started) {
                let (args_hash, compensable) = (open.args_hash, open.undo.is_some());
                self.abandon_child(call, args_hash, compensable, None);
            }
            return;
        };
        let place = self.arrived.iter().position(|(other, _)| other == call);
        let answer = place.and_then(|place| self.arrived.remove(place)).map(|(_, ready)| ready);
        if let Some(ready) = &answer {
            self.along.extend(Along { births: Vec::new(), ..ready.along.clone() });
        }
        match wait.waits_for {
            WaitsFor::Time(_) | WaitsFor::Settled(_) => {}
            WaitsFor::Event(..) => {
                let entry = Entry::new(call.clone(), EntryKind::Event, EntryState::Abandoned, self.now());
                self.stage_abandoned(entry, Along::default());
            }
            WaitsFor::Child { .. } if !wait.row => {}
            WaitsFor::Child { args_hash, compensable, .. } => self.abandon_child(call, args_hash, compensable, answer),
        }
    }

    /// Nobody waits for this child any more: it is asked to end, unless it has, and this is its answer.
    pub(super) fn abandon_child(&mut self, call: &CallId, args_hash: u64, compensable: bool, answer: Option<Ready>) {
        let mut entry = child_entry(call.clone(), EntryState::Abandoned, args_hash, compensable, self.now());
        let mut along = Along::default();
        match answer {
            // No other one will come.
            Some(ready) => drop(entry.end_abandoned_child(ready.recipe)),
            None => along.sent.push(child::cancel_mail(child::child_id(self.run.id, self.run.generation, call))),
        }
        self.stage_abandoned(entry, along);
    }

    fn stage_abandoned(&mut self, entry: Entry, along: Along) {
        self.note_open(&entry);
        let mut staged = self.entry(entry, false);
        staged.along = along;
        self.stage(staged);
    }
}

/// A child that has not answered.
fn child_entry(call: CallId, state: EntryState, args_hash: u64, compensable: bool, at: Timestamp) -> Entry {
    let mut entry = Entry { args_hash, ..Entry::new(call, EntryKind::Child, state, at) };
    if compensable {
        compensate::begun_child(&mut entry);
    }
    entry
}
