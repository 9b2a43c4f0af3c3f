//! Every kind of journal entry, with its frozen form in the database.

use crate::model::{CallId, Digest, Failure, Payload, Timestamp};

/// What an entry records. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum EntryKind {
    /// The run's input; its seq is 0.
    Start = 0,
    /// A step.
    Step = 1,
    /// A durable timer.
    Sleep = 2,
    /// An event that was waited for.
    Event = 3,
    /// A child run.
    Child = 4,
    /// The undoing of another entry.
    Undo = 5,
    /// A step of which nobody knew whether it was done, run once more to find out, so that it can be undone.
    Resolve = 6,
    /// The run turns back: nothing but undoing follows, and the end.
    Unwind = 7,
    /// The run goes on with a newer version of its workflow. It has no seq, and its body knows nothing of it.
    Move = 8,
    /// The run's outcome; nothing follows it.
    End = 9,
}

/// How far the operation came. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum EntryState {
    /// Begun, no outcome yet; has no seq.
    Started = 0,
    /// Done, with an output.
    Completed = 1,
    /// Done, with a failure.
    Failed = 2,
    /// The body dropped the call. It has no seq, and whatever came of it is not told.
    Abandoned = 3,
}

/// How far the undoing of an entry came. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum UndoState {
    /// Not begun.
    Open = 0,
    /// Attempted, no outcome yet.
    Started = 1,
    /// Undone.
    Done = 2,
    /// Gave up.
    Failed = 3,
    /// An operator skipped it.
    Skipped = 4,
}

/// How to undo an entry: a step with its arguments, kept as data so that no body is needed.
///
/// While an entry has an undo and no [`UndoState`], nobody knows whether it was done. Then this holds no arguments and names the
/// entry itself: a step, which has to be run again first, or a child, which has to end first.
///
/// The `end` of a run that another one waits for keeps here how that one undoes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undo {
    /// Key of the compensating step, as in `step:release_stock`.
    pub step: String,
    /// Digest of that step, which a worker must offer to run it.
    pub digest: Digest,
    /// Its arguments.
    pub args: Payload,
}

/// How to undo what is done, and how far that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// How.
    pub undo: Undo,
    /// [`UndoState::Open`], or [`UndoState::Failed`] if what the step is to be given could not be found out.
    pub state: UndoState,
}

/// One operation of a run.
///
/// It gets its outcome and its `seq` once; after that only `undo_state` changes. Delivered entries have seq
/// 1, 2, 3 … in the order their results were handed to the body; `start` has 0; entries of state `Started` and
/// `Abandoned` have none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which call of the body this is.
    pub call: CallId,
    /// What it records.
    pub kind: EntryKind,
    /// How far it came.
    pub state: EntryState,
    /// Place in the order of deliveries.
    pub seq: Option<i32>,
    /// The saga it belongs to; 0 is the body itself.
    pub scope: i32,
    /// Fingerprint of its arguments.
    pub args_hash: u64,
    /// Its arguments, where they are kept; of the `start` of a later generation, what the earlier ones saved.
    pub args: Option<Payload>,
    /// What came out, if it completed.
    pub output: Option<Payload>,
    /// The failure (of the last attempt), if it failed or will be tried again.
    pub failure: Option<Payload>,
    /// Attempts that were made, counted absolutely.
    pub attempts: i32,
    /// When a timer fires or the next attempt is due.
    pub due_at: Option<Timestamp>,
    /// How to undo it.
    pub undo: Option<Undo>,
    /// How far undoing came.
    pub undo_state: Option<UndoState>,
    /// When it was recorded: the worker's estimate of the database's time, never going back within a run.
    pub at: Timestamp,
}

impl Entry {
    /// An entry for `call` without arguments, outcome, attempts or undo.
    pub fn new(call: CallId, kind: EntryKind, state: EntryState, at: Timestamp) -> Self {
        Self {
            call,
            kind,
            state,
            seq: None,
            scope: 0,
            args_hash: 0,
            args: None,
            output: None,
            failure: None,
            attempts: 0,
            due_at: None,
            undo: None,
            undo_state: None,
            at,
        }
    }

    /// The `start` entry, which holds the input.
    pub fn start(input: Payload, at: Timestamp) -> Self {
        let mut entry = Self::new(CallId::new("start", 0), EntryKind::Start, EntryState::Completed, at);
        entry.seq = Some(0);
        entry.output = Some(input);
        entry
    }

    /// An entry of the run itself, with what it ends or turns back with.
    pub fn of_result(call: CallId, kind: EntryKind, result: Result<Payload, Payload>, seq: i32, at: Timestamp) -> Self {
        let state = if result.is_ok() { EntryState::Completed } else { EntryState::Failed };
        let (output, failure) = match result {
            Ok(output) => (Some(output), None),
            Err(failure) => (None, Some(failure)),
        };
        Self { seq: Some(seq), output, failure, ..Self::new(call, kind, state, at) }
    }

    /// Keeps how it is undone.
    pub fn set_recipe(&mut self, recipe: Option<Recipe>) {
        (self.undo, self.undo_state) = recipe.map(|recipe| (recipe.undo, recipe.state)).unzip();
    }

    /// How it is undone, if it is known to be done.
    pub fn recipe(&self) -> Option<Recipe> {
        self.undo.clone().zip(self.undo_state).map(|(undo, state)| Recipe { undo, state })
    }

    /// The child of this entry has ended, which its parent no longer waits for: whether that was not known. If it had done its
    /// work, `recipe` says how that is undone.
    pub fn end_abandoned_child(&mut self, recipe: Option<Recipe>) -> bool {
        let news = self.state == EntryState::Abandoned && self.undo_state.is_none();
        match recipe {
            _ if !news => {}
            None => self.undo_state = Some(UndoState::Done),
            recipe => self.set_recipe(recipe),
        }
        news
    }

    /// Notes that nothing is left to undo of a call that the body has dropped, and after how many results: `continue_as_new` decides by
    /// that, and a replay has to decide alike. Only a call without a seq has this; it stands in the place of an output.
    pub fn settle(&mut self, after: usize) {
        self.output = Some(Payload::from_json_text(after.to_string()));
    }

    /// After how many results of the body it was noted that nothing is left to undo of this dropped call; `None` if it was not.
    pub fn settled_after(&self) -> Option<usize> {
        let may_be = self.seq.is_none() && matches!(self.kind, EntryKind::Step | EntryKind::Child);
        self.output.as_ref().filter(|_| may_be)?.decode().ok()
    }

    /// Whether it is the call of an attached child that has not answered.
    pub fn awaits_child(&self) -> bool {
        let is_open = matches!(self.state, EntryState::Started | EntryState::Abandoned) && self.undo_state.is_none();
        self.kind == EntryKind::Child && is_open
    }

    /// Its failure, if it has one that can be read.
    pub fn read_failure(&self) -> Option<Failure> {
        self.failure.as_ref().and_then(|failure| failure.decode().ok())
    }

    /// The same without its payloads, for those who only need to know what it is.
    #[must_use]
    pub fn outline(&self) -> Self {
        let undo = self.undo.as_ref().map(|undo| Undo { args: Payload::null(), ..undo.clone() });
        Self { output: None, args: None, failure: self.failure.clone(), undo, ..self.clone() }
    }

    /// Payload bytes it carries, for batching.
    pub fn bytes(&self) -> usize {
        [&self.args, &self.output, &self.failure]
            .into_iter()
            .chain([&self.undo.as_ref().map(|undo| undo.args.clone())])
            .flatten()
            .map(|payload| payload.as_str().len())
            .sum()
    }
}

macro_rules! wire {
    ($type:ident: $($variant:ident),*) => {
        impl $type {
            /// The value kept as this number.
            pub fn from_wire(number: i16) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|value| *value as i16 == number)
            }
        }
    };
}
wire!(EntryKind: Start, Step, Sleep, Event, Child, Undo, Resolve, Unwind, Move, End);
wire!(EntryState: Started, Completed, Failed, Abandoned);
wire!(UndoState: Open, Started, Done, Failed, Skipped);
