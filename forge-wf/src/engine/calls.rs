//! The durable calls of one run, shared between the workflow body and the turn that polls it.
//!
//! The body writes calls, polls them and drops them; each of these leaves a [`Command`] for the turn. The turn
//! delivers outcomes. Neither waits for the other here: a lock is held for a few instructions only.
//!
//! - A call's identity is given when it is written; its effect begins at its first poll.
//! - Once closed, polls stay pending and drops mean nothing, so that dropping the body of an evicted run does not
//!   look like the body dropping its calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::definition::{StepDefinition, StepOptions};
use crate::model::{CallId, Failure, Payload};

/// Number of a call within its run, in the order they were written; never reused.
pub type SlotId = u64;

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

/// What the body did since the turn looked last.
pub enum Command {
    /// Polled a call for the first time: its effect begins.
    Begin {
        /// Which call.
        slot: SlotId,
        /// Its identity.
        call: CallId,
        /// What it asks for.
        request: StepRequest,
    },
    /// Dropped a call that had begun and has no outcome.
    Drop {
        /// Its identity.
        call: CallId,
    },
}

/// What is handed to a waiting call.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The output, as the journal holds it.
    Completed(Payload),
    /// The failure, as the journal holds it.
    Failed(Payload),
}

/// A recorded result the code can no longer read. Found by the call itself, since only it knows the type.
#[derive(Debug, Clone)]
pub struct Undecodable {
    /// The call.
    pub call: CallId,
    /// What serde said.
    pub message: String,
}

enum Slot {
    Written { call: CallId, request: StepRequest },
    Begun { call: CallId, waker: Waker },
    Delivered { call: CallId, delivery: Delivery },
}

#[derive(Default)]
struct Inner {
    closed: bool,
    written: SlotId,
    counts: HashMap<&'static str, (Arc<str>, u32)>,
    slots: HashMap<SlotId, Slot>,
    commands: Vec<Command>,
    undecodable: Option<Undecodable>,
}

/// The durable calls of one run.
#[derive(Default)]
pub struct Calls(Mutex<Inner>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No user code runs under this lock, so a poisoned one still holds a consistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the call its identity: the next number of its key.
    pub fn write(&self, request: StepRequest) -> SlotId {
        let mut inner = self.lock();
        let key = request.step.key;
        let (name, count) = inner.counts.entry(key).or_insert_with(|| (Arc::from(key), 0));
        let call = CallId { key: name.clone(), n: *count };
        *count += 1;
        let slot = inner.written;
        inner.written += 1;
        inner.slots.insert(slot, Slot::Written { call, request });
        slot
    }

    /// Changes how a call is tried; without effect once it has begun.
    pub fn set_options(&self, slot: SlotId, change: impl FnOnce(&mut StepOptions)) {
        if let Some(Slot::Written { request, .. }) = self.lock().slots.get_mut(&slot) {
            change(&mut request.options);
        }
    }

    /// Polls a call: begins it, or takes what was delivered. After a result that could not be read all stay pending:
    /// that call has taken its result and not returned, so the body may well poll it again.
    pub fn poll(&self, slot: SlotId, waker: &Waker) -> Poll<(CallId, Delivery)> {
        let mut inner = self.lock();
        if inner.closed || inner.undecodable.is_some() {
            return Poll::Pending;
        }
        match inner.slots.remove(&slot) {
            Some(Slot::Written { call, request }) => {
                inner.commands.push(Command::Begin { slot, call: call.clone(), request });
                inner.slots.insert(slot, Slot::Begun { call, waker: waker.clone() });
                Poll::Pending
            }
            Some(Slot::Begun { call, waker: mut held }) => {
                held.clone_from(waker);
                inner.slots.insert(slot, Slot::Begun { call, waker: held });
                Poll::Pending
            }
            Some(Slot::Delivered { call, delivery }) => Poll::Ready((call, delivery)),
            None => panic!("a step call was polled again after it had returned its result"),
        }
    }

    /// The body dropped a call.
    pub fn forget(&self, slot: SlotId) {
        let mut inner = self.lock();
        if let Some(Slot::Begun { call, .. }) = inner.slots.remove(&slot)
            && !inner.closed
        {
            inner.commands.push(Command::Drop { call });
        }
    }

    /// Notes that a recorded result cannot be read; the turn stops at it.
    pub fn report_undecodable(&self, call: CallId, message: String) {
        self.lock().undecodable.get_or_insert(Undecodable { call, message });
    }

    /// Hands an outcome to a call and returns whom to wake; `None` if the body has dropped it meanwhile.
    pub fn deliver(&self, slot: SlotId, delivery: Delivery) -> Option<Waker> {
        let mut inner = self.lock();
        match inner.slots.remove(&slot) {
            Some(Slot::Begun { call, waker }) => {
                inner.slots.insert(slot, Slot::Delivered { call, delivery });
                Some(waker)
            }
            Some(other) => {
                inner.slots.insert(slot, other);
                None
            }
            None => None,
        }
    }

    /// What the body did since the last call, in order.
    pub fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.lock().commands)
    }

    /// The first recorded result that could not be read.
    pub fn undecodable(&self) -> Option<Undecodable> {
        self.lock().undecodable.clone()
    }

    /// From now on polls stay pending and drops mean nothing.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.commands.clear();
    }
}
