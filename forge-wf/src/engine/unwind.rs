//! What is left to undo of one journal, newest first. Pure: no I/O, no clock, no user code.
//!
//! Takes the entries of a generation; says what comes next, and which entries change with each outcome. It needs no body:
//! how to undo an entry was written down with the entry.
//!
//! - First come entries without a place in the order of deliveries, the one that began last first; then those with one, the
//!   last first.
//! - An entry of which nobody knows whether it was done is resolved first: its step is run again, with the same arguments
//!   and idempotency key, until it has a definite outcome.
//! - One at a time: whatever gives up holds up all that is older.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::contract::digest;
use crate::journal::{Corrupt, Entry, EntryKind, EntryState, Recipe, Undo, UndoState};
use crate::model::{CallId, Digest, Payload, State, Timestamp};

/// Why a run turns back. The names are their frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The body returned an error.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its deadline has passed.
    Deadline,
    /// Too many workers died while they executed it.
    Poison,
    /// The body returned a result, and what it had dropped on the way is to be undone.
    Dropped,
    /// Somebody ended it as it is: nothing is undone.
    Killed,
    /// Somebody declared that nothing can resume it: nothing is undone.
    Retired,
}

impl Cause {
    /// Whether what the run did is left as it is.
    pub fn undoes_nothing(self) -> bool {
        matches!(self, Self::Killed | Self::Retired)
    }
}

/// What a run ends with, once nothing is left to undo.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why it ends.
    pub cause: Cause,
    /// Its output or failure.
    pub result: Result<Payload, Payload>,
    /// How whoever called it undoes it.
    pub undone_by: Option<Recipe>,
}

impl Ending {
    /// The end of a run that did not do its work.
    pub fn failed(cause: Cause, failure: Payload) -> Self {
        Self { cause, result: Err(failure), undone_by: None }
    }

    /// The entry of this key that holds it.
    fn entry(&self, key: &str, kind: EntryKind, seq: i32, at: Timestamp) -> Entry {
        let mut entry = Entry::of_result(CallId::new(key, 0), kind, self.result.clone(), seq, at);
        entry.set_recipe(self.undone_by.clone());
        entry
    }

    /// The entry with which the run turns back.
    pub fn unwind_entry(&self, seq: i32, at: Timestamp) -> Entry {
        let entry = self.entry("unwind", EntryKind::Unwind, seq, at);
        let why = serde_json::to_string(&Why { cause: self.cause }).expect("a name is text");
        Entry { args: Some(Payload::from_json_text(why)), ..entry }
    }

    /// The entry with which the run ends.
    pub fn end_entry(&self, seq: i32, at: Timestamp) -> Entry {
        self.entry("end", EntryKind::End, seq, at)
    }
}

/// The arguments of an `unwind` entry.
#[derive(Serialize, Deserialize)]
struct Why {
    cause: Cause,
}

/// What every worker offers: to wait for a child takes no code. No workflow has an empty name.
pub const ANYONE: Digest = digest::of_version("", "any worker");

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'u> {
    /// Run the compensating step of `entry`.
    Undo {
        /// What is undone.
        entry: &'u Entry,
        /// How.
        undo: &'u Undo,
        /// What is recorded of it so far.
        prior: Option<&'u Entry>,
    },
    /// Run the step of `entry` again: nobody knows whether it was done.
    Resolve {
        /// The step's entry.
        entry: &'u Entry,
        /// What is recorded of it so far.
        prior: Option<&'u Entry>,
    },
    /// Nothing, until this child has ended, which was asked to.
    Await {
        /// The child's entry.
        entry: &'u Entry,
    },
    /// Nothing, until an operator decides about this entry.
    Stuck {
        /// What cannot be undone.
        entry: &'u Entry,
        /// The record of the attempts, if there were any.
        prior: Option<&'u Entry>,
    },
    /// All is undone: the run ends.
    End,
}

/// One run on its way back.
#[derive(Debug)]
pub struct Unwinding {
    ending: Ending,
    /// What may have to be undone, in the order in which it is.
    entries: Vec<Entry>,
    /// The records of undoing and resolving, by their own call.
    records: HashMap<CallId, Entry>,
    /// The calls of children that have not answered, whether or not anything waits for that.
    awaited: HashSet<CallId>,
    last_seq: i32,
    now: Timestamp,
}

/// The call that undoes this one.
pub fn undo_call(call: &CallId) -> CallId {
    CallId { key: format!("undo:{}", call.key).into(), n: call.n }
}

/// The call that finds out about this one.
pub fn resolve_call(call: &CallId) -> CallId {
    CallId { key: format!("resolve:{}", call.key).into(), n: call.n }
}

/// The call that `call` undoes or finds out about.
pub fn undone_call(call: &CallId) -> Option<CallId> {
    let key = call.key.strip_prefix("undo:").or_else(|| call.key.strip_prefix("resolve:"))?;
    Some(CallId { key: key.into(), n: call.n })
}

/// Why the run turns back, of an `unwind` entry.
pub fn cause_of(entry: &Entry) -> Option<Cause> {
    let why = entry.args.as_ref().filter(|_| entry.kind == EntryKind::Unwind)?;
    why.decode::<Why>().ok().map(|why| why.cause)
}

impl Unwinding {
    /// Of a run that is about to turn back, from the entries that may have to be undone.
    pub fn new(ending: Ending, entries: impl IntoIterator<Item = Entry>) -> Self {
        let (mut undoable, mut records, mut awaited) = (Vec::new(), HashMap::new(), HashSet::new());
        let (mut last_seq, mut now) = (0, Timestamp::MIN_UTC);
        for entry in entries {
            last_seq = last_seq.max(entry.seq.unwrap_or(0));
            now = now.max(entry.at);
            if entry.awaits_child() {
                awaited.insert(entry.call.clone());
            }
            match entry.kind {
                EntryKind::Undo | EntryKind::Resolve => drop(records.insert(entry.call.clone(), entry)),
                // These say how somebody else undoes all of it.
                EntryKind::Unwind | EntryKind::End => {}
                EntryKind::Child if entry.state == EntryState::Abandoned => undoable.push(entry),
                _ if entry.undo.is_some() => undoable.push(entry),
                _ => {}
            }
        }
        let newest_first = |entry: &Entry| match entry.seq {
            None => (false, Reverse(entry.at), Reverse(0), Reverse(entry.call.clone())),
            Some(seq) => (true, Reverse(Timestamp::MIN_UTC), Reverse(seq), Reverse(entry.call.clone())),
        };
        undoable.sort_by_cached_key(newest_first);
        match ending.cause {
            // The body saw the outcomes of all others, and went on. Nor does it wait for children that it dropped and could not undo.
            Cause::Dropped => undoable.retain(|entry| entry.seq.is_none() && entry.undo.is_some()),
            cause if cause.undoes_nothing() => undoable.clear(),
            _ => {}
        }
        Self { ending, entries: undoable, records, awaited, last_seq, now }
    }

    /// Of a run that has turned back, from its journal.
    ///
    /// # Errors
    /// `Corrupt` if the journal does not say why it turned back.
    pub fn load(entries: Vec<Entry>) -> Result<Self, Corrupt> {
        let unwind = entries.iter().find(|entry| entry.kind == EntryKind::Unwind);
        let unwind = unwind.ok_or_else(|| Corrupt("the run turns back, but no entry says why".into()))?;
        let cause = cause_of(unwind);
        let cause = cause.ok_or_else(|| Corrupt("the entry `unwind` does not say why the run turns back".into()))?;
        let result = match (&unwind.output, &unwind.failure) {
            (Some(output), _) => Ok(output.clone()),
            (None, failure) => Err(failure.clone().unwrap_or_else(Payload::null)),
        };
        let ending = Ending { cause, result, undone_by: unwind.recipe() };
        Ok(Self::new(ending, entries))
    }

    /// What comes next.
    pub fn next(&self) -> Next<'_> {
        self.entries.iter().map(|entry| self.todo(entry)).find(|next| *next != Next::End).unwrap_or(Next::End)
    }

    /// What is to be done about one entry; `End` for nothing.
    fn todo<'u>(&'u self, entry: &'u Entry) -> Next<'u> {
        if entry.kind == EntryKind::Child && entry.undo_state.is_none() {
            return Next::Await { entry };
        }
        let resolved = self.records.get(&resolve_call(&entry.call));
        let prior = self.records.get(&undo_call(&entry.call));
        let (known, state) = match (entry.undo_state, resolved) {
            // How to undo it is what was found out: the entry itself only names its own step.
            (Some(state), Some(resolved)) if resolved.undo_state.is_some() && resolved.state != EntryState::Started => {
                (resolved, Some(state))
            }
            (Some(state), _) => (entry, Some(state)),
            (None, Some(resolved)) if resolved.state != EntryState::Started => (resolved, resolved.undo_state),
            (None, Some(resolved)) if resolved.undo_state.is_some() => {
                return Next::Stuck { entry, prior: Some(resolved) };
            }
            // Whoever died of it shall not meet it again.
            (None, prior) if self.ending.cause == Cause::Poison => return Next::Stuck { entry, prior },
            (None, prior) => return Next::Resolve { entry, prior },
        };
        match (state, &known.undo) {
            // What was found out is that it was not done.
            (None, _) | (_, None) | (Some(UndoState::Done | UndoState::Skipped), _) => Next::End,
            (Some(UndoState::Failed), _) => Next::Stuck { entry, prior },
            (Some(UndoState::Open | UndoState::Started), Some(undo)) => Next::Undo { entry, undo, prior },
        }
    }

    /// The calls of children that have not answered, in no order.
    pub fn awaited_children(&self) -> impl Iterator<Item = &CallId> {
        self.awaited.iter()
    }

    /// Whether nothing is left to do about this entry, whose call the body has dropped.
    pub fn is_settled(&self, entry: &Entry) -> bool {
        match self.entries.iter().find(|planned| planned.call == entry.call) {
            Some(planned) => self.todo(planned) == Next::End,
            None => entry.state == EntryState::Abandoned && entry.undo.is_none(),
        }
    }

    /// What a worker must offer to go on: the digest of the step that is run next; `None` at the end.
    pub fn needs(&self) -> Option<Digest> {
        match self.next() {
            Next::Undo { undo, .. } => Some(undo.digest),
            Next::Resolve { entry, .. } | Next::Stuck { entry, .. } => entry.undo.as_ref().map(|undo| undo.digest),
            Next::Await { .. } => Some(ANYONE),
            Next::End => None,
        }
    }

    /// The key of the step with this digest, as the journal names it.
    pub fn step_of(&self, digest: Digest) -> Option<String> {
        let undos = self.entries.iter().chain(self.records.values()).filter_map(|entry| entry.undo.as_ref());
        undos.into_iter().find(|undo| undo.digest == digest).map(|undo| undo.step.clone())
    }

    /// The child of this call has ended, which was asked to: the entry that changes. One that had done its work all the same is
    /// undone like any other, if that is possible.
    pub fn child_ended(&mut self, call: &CallId, recipe: Option<Recipe>) -> Option<Entry> {
        self.awaited.remove(call);
        let entry = self.entries.iter_mut().find(|entry| entry.call == *call)?;
        entry.end_abandoned_child(recipe).then(|| entry.clone())
    }

    /// An operator has decided about what gave up (`call`, or whatever holds up the rest): the entries that change. `Open` has
    /// it tried again, with all its attempts.
    pub fn settle(&mut self, call: Option<&CallId>, state: UndoState) -> Vec<Entry> {
        let Next::Stuck { entry, prior } = self.next() else { return Vec::new() };
        if call.is_some_and(|call| *call != entry.call) {
            return Vec::new();
        }
        let (call, prior) = (entry.call.clone(), prior.cloned());
        let mut changed = Vec::new();
        if let Some(mut record) = prior.filter(|_| state == UndoState::Open) {
            (record.attempts, record.due_at, record.undo_state) = (0, None, None);
            self.records.insert(record.call.clone(), record.clone());
            changed.push(record);
        }
        let in_doubt = |entry: &Entry| entry.undo_state.is_none() && state == UndoState::Open;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.call == call && !in_doubt(entry)) {
            entry.undo_state = Some(state);
            changed.push(entry.clone());
            changed.extend(self.follow(&call, state));
        }
        changed
    }

    /// The record of finding out about this call says the same of its undoing as the entry, for people: the record, if that changes.
    fn follow(&mut self, call: &CallId, state: UndoState) -> Option<Entry> {
        let record = self.records.get_mut(&resolve_call(call))?;
        let changes = record.undo_state.is_some_and(|known| known != state);
        record.undo_state = record.undo_state.map(|_| state);
        changes.then(|| record.clone())
    }

    /// A call that undoes or resolves has its outcome: the entries that change, its own first.
    pub fn record(&mut self, mut record: Entry) -> Vec<Entry> {
        self.last_seq += 1;
        record.seq = Some(self.last_seq);
        self.now = self.now.max(record.at);
        let undone = (record.kind == EntryKind::Undo).then_some(UndoState::Done);
        self.change(record, undone)
    }

    /// The attempts of a call that undoes or resolves are used up: the entries that change. An operator decides how to go on.
    pub fn give_up(&mut self, mut record: Entry) -> Vec<Entry> {
        let undo_state = match record.kind {
            EntryKind::Undo => Some(UndoState::Failed),
            _ => {
                record.undo_state = Some(UndoState::Failed);
                None
            }
        };
        self.change(record, undo_state)
    }

    fn change(&mut self, record: Entry, undo_state: Option<UndoState>) -> Vec<Entry> {
        let undone = undone_call(&record.call);
        self.records.insert(record.call.clone(), record.clone());
        let mut changed = vec![record];
        if let Some(state) = undo_state
            && let Some(entry) = self.entries.iter_mut().find(|entry| Some(&entry.call) == undone.as_ref())
        {
            entry.undo_state = Some(state);
            let call = entry.call.clone();
            changed.push(entry.clone());
            changed.extend(self.follow(&call, state));
        }
        changed
    }

    /// What the run ends with.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The state the run ends in.
    pub fn end_state(&self) -> State {
        let undone = |entry: &Entry| matches!(entry.undo_state, Some(UndoState::Done | UndoState::Skipped));
        match self.ending.cause {
            Cause::Dropped => State::Completed,
            Cause::Cancelled => State::Cancelled,
            Cause::Killed => State::Killed,
            Cause::Retired => State::Retired,
            _ if self.entries.iter().any(undone) => State::Compensated,
            _ => State::Failed,
        }
    }

    /// The seq of the next entry that gets one.
    pub fn next_seq(&self) -> i32 {
        self.last_seq + 1
    }

    /// The time of the newest entry.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

#[cfg(test)]
mod tests;
