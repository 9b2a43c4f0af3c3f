//! The durable calls of one run, shared between the workflow body and the turn that polls it.
//!
//! The body writes calls, polls them and drops them; each of these leaves a [`Command`] for the turn. The turn
//! delivers outcomes. Neither waits for the other here: a lock is held for a few instructions only.
//!
//! - A call's identity is given when it is written; its effect begins at its first poll.
//! - Once closed, polls stay pending and drops mean nothing, so that dropping the body of an evicted run does not
//!   look like the body dropping its calls.
//! - What the body may ask for besides (the time, random numbers, what it saved) is kept here too, since it follows
//!   from the same deliveries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::definition::StepOptions;
use super::request::Request;
use crate::journal::{Entry, EntryKind, History};
use crate::model::{CallId, Payload, Timestamp};

/// Number of a call within its run, in the order they were written; never reused.
pub type SlotId = u64;

/// What the body did since the turn looked last.
pub enum Command {
    /// Polled a call for the first time: its effect begins.
    Begin {
        /// Which call.
        slot: SlotId,
        /// Its identity.
        call: CallId,
        /// What it asks for.
        request: Request,
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

/// Values a run has saved under names.
pub type Saved = BTreeMap<Arc<str>, Payload>;

/// A step or child of a saga that was done, or of which nobody knows whether it was.
#[derive(Clone, Debug)]
pub struct Doable {
    /// The saga it was called in.
    saga: u32,
    /// Its entry, with what undoes it.
    pub entry: Entry,
}

enum Slot {
    Written { call: CallId, request: Request, saga: u32 },
    Begun { call: CallId, waker: Waker, tie: Tie, saga: u32 },
    Delivered { call: CallId, delivery: Delivery },
}

/// What keeps a generation from ending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// Nothing.
    None,
    /// It while it is waited for.
    Waited,
    /// That, and that it may have to be undone if it is not waited for any more.
    Undoable,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    written: SlotId,
    counts: HashMap<Arc<str>, (Arc<str>, u32)>,
    slots: HashMap<SlotId, Slot>,
    commands: Vec<Command>,
    /// The saga around each saga; the first is the body itself.
    sagas: Vec<u32>,
    /// What sagas have done, in the order in which it came about.
    doable: Vec<Doable>,
    /// Dropped calls of steps and children that can be undone.
    left: Vec<CallId>,
    /// Of which of them nothing is left to undo, and since how many results.
    settled: HashMap<CallId, usize>,
    /// Results handed over so far, from the journal or live.
    results: usize,
    undecodable: Option<Undecodable>,
    now: Timestamp,
    saved: Saved,
    unpublished: BTreeSet<Arc<str>>,
    continued: Option<Payload>,
    /// How many times each was asked for.
    uuids: u64,
    generators: u64,
}

/// The durable calls of one run.
#[derive(Default)]
pub struct Calls {
    seed: i64,
    inner: Mutex<Inner>,
}

impl Inner {
    fn put(&mut self, slot: Slot) -> SlotId {
        let id = self.written;
        self.written += 1;
        self.slots.insert(id, slot);
        id
    }

    fn is_settled(&self, call: &CallId) -> bool {
        self.settled.get(call).is_some_and(|after| *after < self.results)
    }
}

impl Calls {
    /// The calls of a run of this seed, that begins at `now` with what earlier generations have saved.
    pub fn new(seed: i64, now: Timestamp, saved: Saved) -> Self {
        Self { seed, inner: Mutex::new(Inner { now, saved, ..Inner::default() }) }
    }

    /// The calls of a run of this seed that is about to be replayed.
    pub fn of(seed: i64, history: &History) -> Self {
        let (now, saved, settled) = (history.now(), history.saved().clone(), history.settled().collect());
        Self { seed, inner: Mutex::new(Inner { now, saved, settled, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No user code runs under this lock, so a poisoned one still holds a consistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the call its identity: the next number of its key.
    pub fn write(&self, key: &str, request: Request) -> SlotId {
        self.write_in(0, key, request)
    }

    /// The same, within this saga.
    pub fn write_in(&self, saga: u32, key: &str, request: Request) -> SlotId {
        let mut inner = self.lock();
        let call = match inner.counts.get_mut(key) {
            Some((key, count)) => {
                *count += 1;
                CallId { key: key.clone(), n: *count - 1 }
            }
            None => {
                let key: Arc<str> = Arc::from(key);
                inner.counts.insert(key.clone(), (key.clone(), 1));
                CallId { key, n: 0 }
            }
        };
        inner.put(Slot::Written { call, request, saga })
    }

    /// Writes down a call whose identity follows from another one.
    pub fn write_as(&self, call: CallId, request: Request) -> SlotId {
        self.lock().put(Slot::Written { call, request, saga: 0 })
    }

    /// A saga begins within another one, or within the body (0); its number.
    pub fn open_saga(&self, within: u32) -> u32 {
        let mut inner = self.lock();
        inner.sagas.push(within);
        inner.sagas.len() as u32
    }

    /// A saga is over: what it did and did not undo is the business of the one around it.
    pub fn close_saga(&self, saga: u32) {
        let mut inner = self.lock();
        let around = inner.sagas[saga as usize - 1];
        if around == 0 {
            inner.doable.retain(|done| done.saga != saga);
        }
        inner.doable.iter_mut().filter(|done| done.saga == saga).for_each(|done| done.saga = around);
    }

    /// The saga in which this call waits; 0 is the body itself.
    pub fn saga_of(&self, slot: SlotId) -> u32 {
        match self.lock().slots.get(&slot) {
            Some(Slot::Begun { saga, .. }) => *saga,
            _ => 0,
        }
    }

    /// What this saga, or one within it, has done last and not undone.
    pub fn last_done(&self, saga: u32) -> Option<Doable> {
        let inner = self.lock();
        let within = |mut it: u32| loop {
            match it {
                it if it == saga => return true,
                0 => return false,
                _ => it = inner.sagas[it as usize - 1],
            }
        };
        inner.doable.iter().rev().find(|done| within(done.saga)).cloned()
    }

    /// What came of this call, if it may have to be undone.
    pub fn done(&self, call: &CallId) -> Option<Doable> {
        self.lock().doable.iter().find(|done| done.entry.call == *call).cloned()
    }

    /// This step is undone, or was never done.
    pub fn undone(&self, call: &CallId) {
        self.lock().doable.retain(|done| done.entry.call != *call);
    }

    /// Changes what a call asks for; without effect once it has begun.
    pub fn change(&self, slot: SlotId, change: impl FnOnce(&mut Request)) {
        if let Some(Slot::Written { request, .. }) = self.lock().slots.get_mut(&slot) {
            change(request);
        }
    }

    /// What a call asks for, if it has not begun.
    pub fn written(&self, slot: SlotId) -> Option<Request> {
        match self.lock().slots.get(&slot) {
            Some(Slot::Written { request, .. }) => Some(request.clone()),
            _ => None,
        }
    }

    /// Changes how a step is tried; without effect once it has begun.
    pub fn set_options(&self, slot: SlotId, change: impl FnOnce(&mut StepOptions)) {
        self.change(slot, |request| {
            if let Request::Step(step) = request {
                change(&mut step.options);
            }
        });
    }

    /// Polls a call: begins it, or takes what was delivered. After a result that could not be read, and once the run goes
    /// on as its next generation, all stay pending.
    pub fn poll(&self, slot: SlotId, waker: &Waker) -> Poll<(CallId, Delivery)> {
        let mut inner = self.lock();
        // A call that could not be read has taken its result and not returned, so the body may well poll it again.
        if inner.closed || inner.undecodable.is_some() || inner.continued.is_some() {
            return Poll::Pending;
        }
        match inner.slots.remove(&slot) {
            Some(Slot::Written { call, request, saga }) => {
                let tie = match &request {
                    Request::Child(child) if !child.detached && child.workflow.undo.is_some() => Tie::Undoable,
                    Request::Child(child) if !child.detached => Tie::Waited,
                    Request::Step(step) if step.step.undo.is_some() => Tie::Undoable,
                    Request::Undo(_) => Tie::Waited,
                    Request::Child(_) | Request::Step(_) | Request::Time(_) | Request::Event(_) => Tie::None,
                };
                inner.commands.push(Command::Begin { slot, call: call.clone(), request });
                inner.slots.insert(slot, Slot::Begun { call, waker: waker.clone(), tie, saga });
                Poll::Pending
            }
            Some(Slot::Begun { call, waker: mut held, tie, saga }) => {
                held.clone_from(waker);
                inner.slots.insert(slot, Slot::Begun { call, waker: held, tie, saga });
                Poll::Pending
            }
            Some(Slot::Delivered { call, delivery }) => Poll::Ready((call, delivery)),
            None => panic!("a durable call was polled again after it had returned its result"),
        }
    }

    /// The body dropped a call.
    pub fn forget(&self, slot: SlotId) {
        let mut inner = self.lock();
        if let Some(Slot::Begun { call, tie, .. }) = inner.slots.remove(&slot)
            && !inner.closed
        {
            // A child is asked to end, and may have completed; a step may go on. Both may have to be undone.
            // One that begins and is dropped in one poll takes no effect at all.
            let takes_effect = !inner
                .commands
                .iter()
                .any(|command| matches!(command, Command::Begin { call: begun, .. } if *begun == call));
            if tie == Tie::Undoable && takes_effect {
                inner.left.push(call.clone());
            }
            inner.commands.push(Command::Drop { call });
        }
    }

    /// Notes that a recorded result cannot be read; the turn stops at it.
    pub fn report_undecodable(&self, call: CallId, message: String) {
        self.lock().undecodable.get_or_insert(Undecodable { call, message });
    }

    /// Hands an outcome to a call, as its entry holds it, and returns whom to wake; `None` if the body has dropped it
    /// meanwhile.
    pub fn deliver(&self, slot: SlotId, delivery: Delivery, entry: &Entry) -> Option<Waker> {
        let mut inner = self.lock();
        inner.now = entry.at;
        inner.results += 1;
        match inner.slots.remove(&slot) {
            Some(Slot::Begun { call, waker, saga, .. }) => {
                if entry.undo.is_some() && (saga > 0 || entry.kind == EntryKind::Resolve) {
                    let entry = Entry { output: None, ..entry.clone() };
                    inner.doable.push(Doable { saga, entry });
                }
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

    /// The time of the last delivery; before the first, of the run's start.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// The seed of the run, and how many UUIDs were asked for before.
    pub fn next_uuid(&self) -> (i64, u64) {
        let mut inner = self.lock();
        inner.uuids += 1;
        (self.seed, inner.uuids - 1)
    }

    /// The seed of the run, and how many generators were asked for before.
    pub fn next_generator(&self) -> (i64, u64) {
        let mut inner = self.lock();
        inner.generators += 1;
        (self.seed, inner.generators - 1)
    }

    /// Saves a value, to be published with the next commit.
    pub fn save(&self, name: &str, value: Payload) {
        let mut inner = self.lock();
        let name: Arc<str> = Arc::from(name);
        inner.saved.insert(name.clone(), value);
        inner.unpublished.insert(name);
    }

    /// The value saved last under this name.
    pub fn saved(&self, name: &str) -> Option<Payload> {
        self.lock().saved.get(name).cloned()
    }

    /// All that was saved.
    pub fn all_saved(&self) -> Saved {
        self.lock().saved.clone()
    }

    /// What was saved since the last call.
    pub fn take_unpublished(&self) -> Vec<(Arc<str>, Payload)> {
        let mut inner = self.lock();
        let names = std::mem::take(&mut inner.unpublished);
        names
            .into_iter()
            .filter_map(|name| inner.saved.get_key_value(&name).map(|(k, v)| (k.clone(), v.clone())))
            .collect()
    }

    /// Dropped calls that can be undone and of which something may be left to undo, as far as known.
    pub fn unsettled(&self) -> Vec<CallId> {
        let inner = self.lock();
        inner.left.iter().filter(|call| !inner.settled.contains_key(call)).cloned().collect()
    }

    /// Nothing is left to undo of this dropped call, which is recorded now, after so many results.
    pub fn settle(&self, call: CallId) -> usize {
        let mut inner = self.lock();
        let results = inner.results;
        inner.settled.insert(call, results);
        results
    }

    /// Ends this generation: the run goes on with `input` as its next one.
    ///
    /// A dropped call counts no more once the body has a further result after it was recorded that nothing is left to undo of it. So a
    /// replay, which knows of that from the beginning, decides alike.
    ///
    /// # Errors
    /// The calls of child runs and of steps with a compensation that it still waits for, and calls with a compensation that it
    /// has dropped and that are not settled, sorted.
    pub fn continue_as_new(&self, input: Payload) -> Result<(), Vec<CallId>> {
        let mut inner = self.lock();
        let mut open: Vec<_> = inner
            .slots
            .values()
            .filter_map(|slot| match slot {
                Slot::Begun { call, tie, .. } if *tie != Tie::None => Some(call.clone()),
                _ => None,
            })
            .chain(inner.left.iter().filter(|call| !inner.is_settled(call)).cloned())
            .collect();
        if !open.is_empty() {
            open.sort();
            return Err(open);
        }
        inner.continued.get_or_insert(input);
        Ok(())
    }

    /// The input of the next generation, if this one has ended itself.
    pub fn continued(&self) -> Option<Payload> {
        self.lock().continued.clone()
    }

    /// From now on polls stay pending and drops mean nothing.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.commands.clear();
    }
}
