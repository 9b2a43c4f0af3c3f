//! Journal and commands in, deliveries out, in order; or a divergence. Pure: no I/O, no clock, no user code.
//!
//! Live and replayed results follow one rule: a result is handed over, the body runs until it is pending, only
//! then comes the next. That is why every combinator takes the same path again. The rule itself is kept by
//! [`Drive`](super::drive::Drive); here lies the knowledge of which result is next and whether the code still asks for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;

use super::calls::SlotId;
use super::request::Request;
use super::unwind::undone_call;
use crate::journal::{Entry, EntryState, History, Recipe, UndoState};
use crate::model::{CallId, Timestamp};

/// A call of the body that has begun and has no outcome yet.
struct Outstanding {
    slot: SlotId,
    request: Request,
}

/// A call whose effect is to begin.
pub struct Start {
    /// Its identity.
    pub call: CallId,
    /// What it asks for.
    pub request: Request,
    /// What an earlier turn recorded of it: attempts made, when the next one is due.
    pub prior: Option<Entry>,
}

/// What comes next once the body is pending.
pub enum Next {
    /// Hand this recorded outcome to the body.
    Deliver(SlotId, Box<Entry>),
    /// The journal is read to its end; these effects begin, in the order the body asked for them.
    Live(Vec<Start>),
}

/// The journal and the code do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The journal's place.
    pub seq: Option<i32>,
    /// What the journal holds there.
    pub expected: String,
    /// What the code does instead.
    pub found: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "at entry {seq} the journal holds {}, but {}", self.expected, self.found),
            None => write!(f, "the journal holds {}, but {}", self.expected, self.found),
        }
    }
}

/// One run's replay.
pub struct Replay {
    history: History,
    outstanding: HashMap<CallId, Outstanding>,
    fresh: VecDeque<CallId>,
    /// Calls with an entry but no seq that the body has not made yet. Nothing begins before all that was handed over
    /// until then is durable, so at the journal's end the body has made each of them.
    unmade: BTreeSet<CallId>,
}

impl Replay {
    /// Begins at the journal's start.
    pub fn new(history: History) -> Self {
        // What undoes a call that the body has dropped is no call of the body.
        let is_its_own = |call: &&CallId| undone_call(call).is_none_or(|undone| history.held_outcome(&undone));
        let unmade = history.open_calls().filter(is_its_own).cloned().collect();
        Self { history, outstanding: HashMap::new(), fresh: VecDeque::new(), unmade }
    }

    /// The journal.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Notes that an entry without a place in the order of deliveries is written now.
    pub fn note_open(&mut self, entry: &Entry) {
        self.history.note_open(entry);
    }

    /// The child of this call has ended, which the body had dropped: the entry that changes, if that was not known.
    pub fn child_ended(&mut self, call: &CallId, recipe: Option<Recipe>) -> Option<Entry> {
        self.history.child_ended(call, recipe)
    }

    /// How far undoing this call came, in the body: its entry, if it has one.
    pub fn note_undo(&mut self, call: &CallId, state: UndoState) -> Option<Entry> {
        self.history.note_undo(call, state)
    }

    /// Whether all that was recorded has been handed over.
    pub fn is_live(&self) -> bool {
        self.history.left() == 0
    }

    /// How many calls have begun and have no outcome.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The body polled this call for the first time.
    ///
    /// # Errors
    /// The journal holds this call with other arguments.
    pub fn begin(&mut self, slot: SlotId, call: CallId, request: Request) -> Result<(), Divergence> {
        if let Some(recorded) = self.history.find(&call)
            && recorded.args_hash != request.args_hash()
        {
            let place = request.place().map(|place| format!(" (written at {place})")).unwrap_or_default();
            return Err(Divergence {
                seq: recorded.seq,
                expected: format!("{call} with arguments of fingerprint {:016x}", recorded.args_hash),
                found: format!(
                    "the code calls it with other arguments, of fingerprint {:016x}{place}",
                    request.args_hash()
                ),
            });
        }
        self.unmade.remove(&call);
        self.fresh.push_back(call.clone());
        self.outstanding.insert(call, Outstanding { slot, request });
        Ok(())
    }

    /// The body dropped this call before it had an outcome.
    pub fn drop_call(&mut self, call: &CallId) {
        self.outstanding.remove(call);
    }

    /// What comes next, once the body is pending.
    ///
    /// # Errors
    /// The next recorded outcome belongs to a call the body is not waiting for.
    pub fn what_next(&mut self) -> Result<Next, Divergence> {
        let Some(entry) = self.history.peek() else {
            return self.live().map(Next::Live);
        };
        match self.outstanding.remove(&entry.call) {
            Some(outstanding) => {
                let entry = self.history.take().expect("peeked above");
                Ok(Next::Deliver(outstanding.slot, Box::new(entry)))
            }
            None => Err(Divergence {
                seq: entry.seq,
                expected: format!("the outcome of {}", entry.call),
                found: self.what_is_asked(),
            }),
        }
    }

    fn live(&mut self) -> Result<Vec<Start>, Divergence> {
        self.check_unmade(|| self.what_is_asked())?;
        let mut starts = Vec::with_capacity(self.fresh.len());
        for call in std::mem::take(&mut self.fresh) {
            // Whatever was delivered from the journal or dropped since is not outstanding any more.
            let Some(outstanding) = self.outstanding.get(&call) else { continue };
            let prior = self.history.open(&call).cloned();
            if prior.as_ref().is_some_and(|entry| entry.state == EntryState::Abandoned) {
                return Err(Divergence {
                    seq: None,
                    expected: format!("{call} as dropped by the body"),
                    found: "the code waits for it now".into(),
                });
            }
            let request = outstanding.request.clone();
            starts.push(Start { call, request, prior });
        }
        Ok(starts)
    }

    /// A live outcome: gives it its seq and says which call waits for it. `None` if the body no longer does.
    pub fn record(&mut self, entry: &mut Entry) -> Option<SlotId> {
        assert!(self.is_live(), "a live outcome of {} came during replay", entry.call);
        let outstanding = self.outstanding.remove(&entry.call)?;
        entry.seq = Some(self.next_seq());
        self.history.push_live(entry);
        Some(outstanding.slot)
    }

    /// The seq of the next delivery.
    pub fn next_seq(&self) -> i32 {
        self.history.len() as i32 + 1
    }

    /// The time of the newest entry handed over.
    pub fn now(&self) -> Timestamp {
        self.history.now()
    }

    /// The body has returned.
    ///
    /// # Errors
    /// There are recorded outcomes it did not ask for.
    pub fn finish(&self) -> Result<(), Divergence> {
        match self.history.peek() {
            None => self.check_unmade(|| "the code returned without making that call".into()),
            Some(entry) => Err(Divergence {
                seq: entry.seq,
                expected: format!("the outcome of {}", entry.call),
                found: format!("the code returned before, with {} recorded outcomes left over", self.history.left()),
            }),
        }
    }

    fn check_unmade(&self, found: impl FnOnce() -> String) -> Result<(), Divergence> {
        match self.unmade.first() {
            None => Ok(()),
            Some(call) => Err(Divergence { seq: None, expected: format!("{call} as begun"), found: found() }),
        }
    }

    fn what_is_asked(&self) -> String {
        let mut calls: Vec<_> = self.outstanding.keys().map(ToString::to_string).collect();
        if calls.is_empty() {
            return "the code waits for no call".into();
        }
        calls.sort();
        let more = calls.len().saturating_sub(5);
        calls.truncate(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("the code waits for {}{more}", calls.join(", "))
    }
}
