//! Polls one workflow body by the rules that make every combinator replay alike. No I/O: effects are handed out.
//!
//! - The body is polled once for each delivery, and again only while it woke itself during that poll. Whoever calls
//!   [`Drive::advance`] more often than that changes nothing: `tokio::join!` begins each poll with another branch, so one
//!   poll more in one life of a run than in the next would be another path.
//! - It is polled unconstrained: tokio's cooperative budget would make long replays pend where live runs did not.
//! - A body that panics, waits for something foreign, or does not fit its journal is [`Stuck`]: a bug in code and
//!   not an outcome of the run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::calls::{Calls, Command, Delivery, SlotId, Undecodable};
use super::definition::BodyFuture;
use super::replay::{Divergence, Next, Replay, Start};
use super::waker::BodyWaker;
use crate::journal::{Entry, EntryKind, EntryState, History, Recipe, UndoState};
use crate::model::panic::panic_message;
use crate::model::{BlockReason, CallId, Failure, Payload};

/// How many recorded results are handed over before other tasks of the runtime get a chance.
const DELIVERIES_PER_SLICE: usize = 256;
/// How often a body may wake itself without any result being handed over. Channels between joined branches need a few; a
/// body that never stops would hold its thread for ever.
const SELF_WAKES_MAX: usize = 100_000;

/// How the body ended.
#[derive(Debug)]
pub enum Finished {
    /// It returned.
    Returned(Result<Payload, Failure>),
    /// The run goes on as its next generation, with this input.
    Continued(Payload),
}

/// What the body did, up to the point where it waits again.
#[derive(Default)]
pub struct Progress {
    /// Effects that begin now, in the order the body asked for them.
    pub starts: Vec<Start>,
    /// Calls the body no longer waits for.
    pub dropped: Vec<CallId>,
    /// How the body ended, if it did.
    pub finished: Option<Finished>,
    /// Recorded results are left: call [`Drive::advance`] again.
    pub more: bool,
}

/// Why the body cannot go on with this code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Which kind of bug.
    pub reason: BlockReason,
    /// What happened, with the last entry.
    pub message: String,
}

/// One body, its journal and its calls.
pub struct Drive {
    body: Option<BodyFuture>,
    calls: Arc<Calls>,
    replay: Replay,
    waker: Arc<BodyWaker>,
    /// A poll is owed: the first one, or the one after a delivery.
    owed: bool,
    replayed: Replayed,
    /// Whether the body has woken itself: something that is no durable call told one part of it of another.
    woke_itself: bool,
}

/// How much of the journal was handed to the body again.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Results of steps.
    pub steps: u64,
    /// Results of all kinds.
    pub entries: u64,
}

impl Drive {
    /// A body that has not been polled yet.
    pub fn new(body: BodyFuture, calls: Arc<Calls>, history: History, waker: Arc<BodyWaker>) -> Self {
        let body: Option<BodyFuture> = Some(Box::pin(tokio::task::unconstrained(body)));
        Self {
            body,
            calls,
            replay: Replay::new(history),
            waker,
            owed: true,
            replayed: Replayed::default(),
            woke_itself: false,
        }
    }

    /// The replay.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Notes that an entry without a place in the order of deliveries is written now.
    pub fn note_open(&mut self, entry: &Entry) {
        self.replay.note_open(entry);
    }

    /// The child of this call has ended, which the body had dropped: the entry that changes, if that was not known.
    pub fn child_ended(&mut self, call: &CallId, recipe: Option<Recipe>) -> Option<Entry> {
        self.replay.child_ended(call, recipe)
    }

    /// How far undoing this call came, in the body: its entry, if it has one.
    pub fn note_undo(&mut self, call: &CallId, state: UndoState) -> Option<Entry> {
        self.replay.note_undo(call, state)
    }

    /// How many results came from the journal.
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    /// Whether something foreign woke the body.
    pub fn check_foreign(&self) -> Result<(), Stuck> {
        if self.waker.is_foreign() { Err(self.foreign("was woken from outside")) } else { Ok(()) }
    }

    /// Polls the body and hands it recorded results until it waits for something that is not recorded. Without a
    /// delivery since the last call it polls nothing and returns an empty progress.
    ///
    /// # Errors
    /// The body is stuck.
    pub fn advance(&mut self) -> Result<Progress, Stuck> {
        let mut progress = Progress::default();
        if !self.owed {
            self.check_foreign()?;
            return Ok(progress);
        }
        for _ in 0..DELIVERIES_PER_SLICE {
            if self.poll(&mut progress)? {
                return Ok(progress);
            }
            match self.replay.what_next().map_err(|divergence| self.diverged(&divergence))? {
                Next::Deliver(slot, entry) => {
                    self.replayed.entries += 1;
                    self.replayed.steps += u64::from(entry.kind == EntryKind::Step);
                    self.hand_over(slot, &entry);
                }
                Next::Live(starts) => {
                    progress.starts = starts;
                    if self.replay.outstanding() == 0 {
                        return Err(self.foreign("waits although no durable call is outstanding"));
                    }
                    return Ok(progress);
                }
            }
        }
        progress.more = true;
        Ok(progress)
    }

    /// Gives a live outcome its place in the journal and hands it to the body, which [`Drive::advance`] then polls.
    /// `false` if the body no longer waits for it: then it has no place, and nothing is recorded.
    ///
    /// # Panics
    /// If the body has not been polled since the last delivery.
    pub fn deliver(&mut self, entry: &mut Entry) -> bool {
        assert!(!self.owed, "{} was delivered before the body had seen the result before it", entry.call);
        let Some(slot) = self.replay.record(entry) else { return false };
        entry.scope = self.calls.saga_of(slot).cast_signed();
        self.hand_over(slot, entry);
        true
    }

    fn hand_over(&mut self, slot: SlotId, entry: &Entry) {
        self.owed = true;
        let delivery = match entry.state {
            EntryState::Failed => entry.failure.clone().map(Delivery::Failed),
            _ => entry.output.clone().map(Delivery::Completed),
        };
        let delivery = delivery.expect("an entry with a seq has its outcome");
        self.waker.during(|| {
            if let Some(waker) = self.calls.deliver(slot, delivery, entry) {
                waker.wake();
            }
        });
        // The poll that follows a delivery is owed anyway.
        self.waker.take_woken();
    }

    /// Polls until the body neither ends nor wakes itself; `true` if it ended.
    fn poll(&mut self, progress: &mut Progress) -> Result<bool, Stuck> {
        self.owed = false;
        let waker = self.waker.waker();
        let mut wakes = 0;
        let finished = loop {
            let body = self.body.as_mut().expect("a finished body is not polled again");
            let polled = self
                .waker
                .during(|| catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(&mut Context::from_waker(&waker)))));
            // Whatever the body does after a result it could not read, a panic included, that result is the reason.
            if let Some(undecodable) = self.calls.undecodable() {
                return Err(self.unreadable(&undecodable));
            }
            if let (Ok(_), Some(input)) = (&polled, self.calls.continued()) {
                break Some(Finished::Continued(input));
            }
            match polled {
                Err(panic) => return Err(self.panicked(panic.as_ref())),
                Ok(Poll::Ready(result)) => break Some(Finished::Returned(result)),
                Ok(Poll::Pending) if !self.waker.take_woken() => break None,
                Ok(Poll::Pending) if wakes == SELF_WAKES_MAX => {
                    return Err(self.foreign("keeps waking itself while it waits"));
                }
                Ok(Poll::Pending) => (wakes, self.woke_itself) = (wakes + 1, true),
            }
        };
        if finished.is_some() {
            // Calls still open count as dropped here, in the order the body's own drop gives them.
            let body = self.body.take();
            let dropped = self.waker.during(|| catch_unwind(AssertUnwindSafe(|| drop(body))));
            if let Err(panic) = dropped {
                return Err(self.panicked(panic.as_ref()));
            }
        }
        for command in self.calls.take_commands() {
            match command {
                Command::Begin { slot, call, request } => {
                    self.replay.begin(slot, call, request).map_err(|divergence| self.diverged(&divergence))?;
                }
                Command::Drop { call } => {
                    self.replay.drop_call(&call);
                    progress.dropped.push(call);
                }
            }
        }
        self.check_foreign()?;
        if let Some(finished) = finished {
            self.replay.finish().map_err(|divergence| self.diverged(&divergence))?;
            progress.finished = Some(finished);
            return Ok(true);
        }
        Ok(false)
    }

    /// Drops the body without anything of it counting as dropped by the workflow.
    pub fn close(&mut self) {
        self.calls.close();
        self.waker.close();
        let body = self.body.take();
        // A panicking destructor must not take the turn with it: the run is left to another turn anyway.
        drop(catch_unwind(AssertUnwindSafe(|| drop(body))));
    }

    fn last_entry(&self) -> String {
        match self.replay.history().last() {
            Some(entry) => format!("after entry {} ({})", entry.seq.unwrap_or(0), entry.call),
            None => "before its first durable call had an outcome".into(),
        }
    }

    fn foreign(&self, what: &str) -> Stuck {
        Stuck {
            reason: BlockReason::ForeignAwait,
            message: format!(
                "the workflow body {what}, {}: it awaits something that is not durable (a tokio timer, a socket, a \
                 channel filled by another task, `tokio::task::yield_now()`); move that into a #[step], and leave a \
                 yield out, since every durable call lets other tasks run; `forge_wf::awaiting` says what a body may await",
                self.last_entry()
            ),
        }
    }

    fn unreadable(&self, undecodable: &Undecodable) -> Stuck {
        self.diverged(&Divergence {
            seq: self.replay.history().find(&undecodable.call).and_then(|entry| entry.seq),
            expected: format!("the outcome of {}", undecodable.call),
            found: format!("this code cannot read it any more: {}", undecodable.message),
        })
    }

    /// The divergence with its likely cause, and the next move.
    fn diverged(&self, divergence: &Divergence) -> Stuck {
        let advice = if let Some((place, number)) = self.replay.history().read_otherwise() {
            format!(
                "{place} holds the number {number}, which earlier builds read one bit differently (without serde_json's \
                 `float_roundtrip`): if such a build began this run, its code may be unchanged, and only that build can finish \
                 it; otherwise deploy code that fits, or give the changed workflow a new version"
            )
        } else if self.woke_itself {
            "one part of the body was woken by another through something that is not durable (a `tokio::sync::watch`, say, \
             which wakes its receivers in random order), or the workflow's code changed under a run in flight: await \
             durable calls in place of that (`forge_wf::awaiting` says what a body may await), or deploy code that fits"
                .into()
        } else {
            "usually the workflow's code changed under a run in flight, or it depends on something that is not \
             journaled (time, random numbers, the order of a HashMap): deploy code that fits, or give the changed \
             workflow a new version"
                .into()
        };
        Stuck { reason: BlockReason::Divergence, message: format!("{divergence}; {advice}") }
    }

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) -> Stuck {
        let message = panic_message(panic);
        Stuck {
            reason: BlockReason::Panic,
            message: format!("the workflow body panicked {}: {message}", self.last_entry()),
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.close();
    }
}
