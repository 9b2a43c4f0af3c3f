//! The waits of one turn that have begun and have no outcome: points in time, events, child runs.
//!
//! They cost a place in a table while the run is in memory and a row in the journal while it is not; no task, and nothing
//! that runs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::request::EventRequest;
use crate::journal::EntryKind;
use crate::model::{CallId, Timestamp};

/// One wait that has begun.
pub struct Wait {
    /// Whether the journal has (or is about to have) a row for it.
    pub row: bool,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// Of a timer that began in this turn: when it may end at the earliest, by the monotonic clock.
    pub not_before: Option<Instant>,
}

/// What a wait waits for.
pub enum WaitsFor {
    /// This point in time.
    Time(Timestamp),
    /// The oldest event of this name.
    Event(Arc<str>, EventRequest),
    /// The answer of a child run.
    Child {
        /// The mail it will answer with.
        answer: Uuid,
        /// Fingerprint of its input.
        args_hash: u64,
        /// Whether it can be undone once it has completed.
        compensable: bool,
    },
    /// Nothing: an operator has decided about this undo already.
    Settled(EntryKind),
}

/// The waits of one turn.
#[derive(Default)]
pub struct Waits {
    table: HashMap<CallId, Wait>,
    timers: BinaryHeap<Reverse<(Timestamp, CallId)>>,
    /// Waits for events, in the order they began: the first takes the first event.
    events: Vec<CallId>,
}

impl Waits {
    /// A wait has begun.
    pub fn insert(&mut self, call: CallId, wait: Wait) {
        match &wait.waits_for {
            WaitsFor::Time(due) => self.timers.push(Reverse((*due, call.clone()))),
            WaitsFor::Event(..) => self.events.push(call.clone()),
            WaitsFor::Child { .. } | WaitsFor::Settled(_) => {}
        }
        self.table.insert(call, wait);
    }

    /// The wait of this call.
    pub fn get(&self, call: &CallId) -> Option<&Wait> {
        self.table.get(call)
    }

    /// The wait is over.
    pub fn remove(&mut self, call: &CallId) -> Option<Wait> {
        let wait = self.table.remove(call)?;
        if matches!(wait.waits_for, WaitsFor::Event(..)) {
            self.events.retain(|other| other != call);
        }
        Some(wait)
    }

    /// All calls, in no order.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.table.keys().cloned()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether some wait may end at any time: for an event or a child.
    pub fn any_open_ended(&self) -> bool {
        self.table.values().any(|wait| !matches!(wait.waits_for, WaitsFor::Time(_)))
    }

    /// Waits for events with the names they wait for, in the order they began.
    pub fn events(&self) -> impl Iterator<Item = (&CallId, &Arc<str>, EventRequest)> {
        self.events.iter().filter_map(|call| match &self.table.get(call)?.waits_for {
            WaitsFor::Event(name, request) => Some((call, name, *request)),
            _ => None,
        })
    }

    /// When the first timer is due. Timers of waits that are over are cleared out here.
    pub fn first_due(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((due, call))) = self.timers.peek() {
            if self.table.contains_key(call) {
                return Some(*due);
            }
            self.timers.pop();
        }
        None
    }

    /// When the first timer may end at the earliest by the monotonic clock, if it began in this turn.
    pub fn first_not_before(&mut self) -> Option<Instant> {
        self.first_due()?;
        let Reverse((_, call)) = self.timers.peek()?;
        self.table.get(call)?.not_before
    }

    /// A timer that is due at `now`, which is `instant` by the monotonic clock, longest due first; it stays until it is removed. It
    /// is as long by either clock as was asked for, whatever moves the estimate of the other one.
    pub fn due(&mut self, now: Timestamp, instant: Instant) -> Option<CallId> {
        let due = self.first_due()?;
        let may_end = self.first_not_before().is_none_or(|not_before| not_before <= instant);
        (due <= now && may_end).then(|| self.timers.peek().map(|Reverse((_, call))| call.clone())).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::from_micros;

    fn time(at: i64) -> Wait {
        Wait { row: false, waits_for: WaitsFor::Time(from_micros(at)), not_before: None }
    }

    #[test]
    fn timers_are_due_in_order_and_once() {
        let mut waits = Waits::default();
        for (n, at) in [(0, 30), (1, 10), (2, 20)] {
            waits.insert(CallId::new("sleep", n), time(at));
        }
        assert!(!waits.any_open_ended());
        waits.remove(&CallId::new("sleep", 1));
        assert_eq!(waits.first_due(), Some(from_micros(20)), "a timer nobody waits for does not count");
        let instant = Instant::now();
        assert_eq!(waits.due(from_micros(19), instant), None);
        assert_eq!(waits.due(from_micros(30), instant), Some(CallId::new("sleep", 2)));
        waits.remove(&CallId::new("sleep", 2));
        assert_eq!(waits.due(from_micros(30), instant), Some(CallId::new("sleep", 0)));
    }

    #[test]
    fn a_timer_is_no_shorter_by_the_monotonic_clock_than_was_asked_for() {
        let mut waits = Waits::default();
        let begun = Instant::now();
        let end = begun + std::time::Duration::from_millis(3);
        waits.insert(CallId::new("sleep", 0), Wait { not_before: Some(end), ..time(3_000) });
        // The database's clock, or the estimate of it, was moved forward.
        assert_eq!(waits.due(from_micros(9_000), begun), None);
        assert_eq!(waits.first_not_before(), Some(end));
        assert_eq!(waits.due(from_micros(9_000), end), Some(CallId::new("sleep", 0)));
        assert_eq!(waits.due(from_micros(2_999), end), None, "nor by the database's clock");
    }

    #[test]
    fn the_first_wait_for_an_event_is_the_first_to_take_one() {
        let mut waits = Waits::default();
        let wait = || {
            let waits_for = WaitsFor::Event("approved".into(), EventRequest { fits: |_| Ok(()) });
            Wait { row: false, waits_for, not_before: None }
        };
        for n in [3, 1, 2] {
            waits.insert(CallId::new("event:approved", n), wait());
        }
        waits.remove(&CallId::new("event:approved", 3));
        let order: Vec<_> = waits.events().map(|(call, ..)| call.n).collect();
        assert_eq!(order, [1, 2]);
        assert!(waits.any_open_ended());
    }
}
