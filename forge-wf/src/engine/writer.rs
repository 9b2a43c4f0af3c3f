//! What one run wants written, and how that becomes its part of a batch. Pure.
//!
//! Takes [`Item`]s of many runs, folds those of each to one write per row, and answers them. The [lanes](super::lane) send the
//! batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::turn::Message;
use crate::journal::Entry;
use crate::model::{Payload, RunId};
use crate::store::{
    Batch, Birth, Mark, Marked, NewMail, NewRun, Owned, RunImage, RunUpdate, SavedState, Sent, StoreError, Write,
};

/// One entry of an [`Item`], with what must be written with it or not at all.
#[derive(Clone)]
pub struct Staged {
    /// The generation it belongs to.
    pub generation: i32,
    /// The whole entry as it shall be.
    pub entry: Entry,
    /// Whether it has no row yet.
    pub fresh: bool,
    /// Whether it must be written in the same commit as the entry that was staged before it.
    pub joined: bool,
    /// What goes with it.
    pub along: Along,
}

impl Staged {
    /// Bytes of payload, with what is written along.
    pub fn bytes(&self) -> usize {
        self.entry.bytes() + self.along.bytes()
    }
}

/// What is written along with entries: children, mail, marks on mail, published values.
#[derive(Clone, Default)]
pub struct Along {
    /// Child runs.
    pub births: Vec<Birth>,
    /// Mail for other runs.
    pub sent: Vec<NewMail>,
    /// Marks on mail of this run.
    pub marks: Vec<Mark>,
    /// Values it publishes.
    pub states: Vec<(Arc<str>, Payload)>,
}

impl Along {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.births.is_empty() && self.sent.is_empty() && self.marks.is_empty() && self.states.is_empty()
    }

    /// Adds what came later.
    pub fn extend(&mut self, later: Self) {
        self.births.extend(later.births);
        self.sent.extend(later.sent);
        self.marks.extend(later.marks);
        self.states.extend(later.states);
    }

    fn operations(&self) -> usize {
        self.births.len() * 2 + self.sent.len() + self.marks.len() + self.states.len()
    }

    /// Bytes of payload.
    pub fn bytes(&self) -> usize {
        let births = self.births.iter().map(|birth| birth.run.input.as_str().len());
        let sent = self.sent.iter().filter_map(|mail| mail.body.as_ref()).map(|body| body.as_str().len());
        births.chain(sent).chain(self.states.iter().map(|(_, value)| value.as_str().len())).sum()
    }
}

/// A run to be inserted, and whether it was handed to the database.
pub struct Starting {
    /// The run.
    pub run: NewRun,
    /// Whether it was.
    pub handover: Arc<Handover>,
}

/// Whether a start was handed to the database, or withdrawn before: never both.
#[derive(Default)]
pub struct Handover(AtomicU8);

impl Handover {
    const WAITS: u8 = 0;
    const HANDED: u8 = 1;
    const WITHDRAWN: u8 = 2;

    fn change(&self, to: u8) -> bool {
        let changed = self.0.compare_exchange(Self::WAITS, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok() || changed == Err(to)
    }

    /// It is handed to the database now; not if it was withdrawn.
    pub fn hand_over(&self) -> bool {
        self.change(Self::HANDED)
    }

    /// It is withdrawn; not if it was handed over.
    pub fn withdraw(&self) -> bool {
        self.change(Self::WITHDRAWN)
    }
}

/// What one run wants written, all of it or nothing.
pub struct Item {
    /// The run.
    pub run: RunId,
    /// The claim it is owned under.
    pub claim_no: i64,
    /// The run itself, if it is to be inserted.
    pub birth: Option<Box<Starting>>,
    /// What its row shall hold, if that changes.
    pub image: Option<RunImage>,
    /// Entries to write.
    pub writes: Vec<Staged>,
    /// What belongs to no entry.
    pub along: Along,
    /// Whom to answer.
    pub reply: Reply,
    /// Lowered when the turn is no longer current; its items are dropped then.
    pub current: Arc<AtomicBool>,
}

impl Item {
    /// How many rows it writes, about, and how many bytes of payload.
    pub fn size(&self) -> (usize, usize) {
        let along = |staged: &Staged| staged.along.operations();
        let operations = 1 + self.writes.len() + self.writes.iter().map(along).sum::<usize>() + self.along.operations();
        let born = self.birth.as_ref().map_or(0, |start| start.run.input.as_str().len());
        (operations, self.writes.iter().map(Staged::bytes).sum::<usize>() + self.along.bytes() + born)
    }

    /// Nobody will write it any more. A start hears that from its closed channel.
    pub fn lost(self) {
        if let Reply::Turn(turn, _) = self.reply {
            let _ = turn.send(Message::Lost);
        }
    }
}

/// Whom to answer.
pub enum Reply {
    /// A turn, with the number it gave this item.
    Turn(mpsc::UnboundedSender<Message>, u64),
    /// The caller of a start that found no free slot.
    Start(oneshot::Sender<Result<(), Arc<StoreError>>>),
}

/// Everything a batch writes of one run.
pub struct Folded {
    /// The run.
    pub run: RunId,
    claim_no: i64,
    birth: Option<Box<Starting>>,
    image: Option<RunImage>,
    writes: Vec<Staged>,
    along: Along,
    replies: Vec<Reply>,
    /// Of its turn.
    pub current: Arc<AtomicBool>,
}

impl Folded {
    /// The first item of a run.
    pub fn new(item: Item) -> Self {
        let Item { run, claim_no, birth, image, writes, along, reply, current } = item;
        Self { run, claim_no, birth, image, writes, along, replies: vec![reply], current }
    }

    /// Adds a later item of the same run: at most one write per row is left.
    pub fn fold(&mut self, item: Item) {
        self.image = item.image.or(self.image.take());
        for later in item.writes {
            let same = |earlier: &&mut Staged| {
                earlier.generation == later.generation && earlier.entry.call == later.entry.call
            };
            match self.writes.iter_mut().find(same) {
                Some(earlier) => {
                    earlier.entry = later.entry;
                    earlier.along.extend(later.along);
                }
                None => self.writes.push(later),
            }
        }
        self.along.extend(item.along);
        self.replies.push(item.reply);
    }

    /// Adds its parts to a batch.
    pub fn write_into(&self, batch: &mut Batch) {
        match (&self.birth, &self.image) {
            (Some(start), Some(image)) => {
                batch.births.push(Birth { run: start.run.clone(), image: image.clone() });
            }
            (Some(_), None) => unreachable!("a birth comes with its image"),
            (None, Some(image)) => {
                batch.updates.push(RunUpdate { run: self.run, claim_no: self.claim_no, image: image.clone() });
            }
            (None, None) => {}
        }
        for Staged { generation, entry, fresh, .. } in &self.writes {
            let write = Write { run: self.run, generation: *generation, entry: entry.clone() };
            if *fresh { batch.inserts.push(write) } else { batch.outcomes.push(write) }
        }
        self.write_along(batch);
        if self.birth.is_none() && self.image.is_none() && (!self.writes.is_empty() || !self.along.is_empty()) {
            batch.owned.push(Owned { run: self.run, claim_no: self.claim_no });
        }
    }

    /// One mark for each mail, and the last value of each name: a statement cannot touch a row twice.
    fn write_along(&self, batch: &mut Batch) {
        let (mut marks, mut states) = (BTreeMap::new(), BTreeMap::new());
        for along in self.writes.iter().map(|staged| &staged.along).chain([&self.along]) {
            batch.births.extend(along.births.iter().cloned());
            batch.sent.extend(along.sent.iter().map(|mail| Sent { by: self.run, mail: mail.clone() }));
            for mark in &along.marks {
                *marks.entry(mark.mail).or_default() |= mark.taken;
            }
            states.extend(along.states.iter().map(|(key, value)| (key, value)));
        }
        let mark = |(mail, taken)| Marked { run: self.run, mark: Mark { mail, taken } };
        batch.marks.extend(marks.into_iter().map(mark));
        let publish =
            |(key, value): (&Arc<str>, &Payload)| SavedState { run: self.run, key: key.clone(), value: value.clone() };
        batch.states.extend(states.into_iter().map(publish));
    }

    /// Tells everybody who waits for it what the database answered.
    pub fn answer(self, result: &Result<(), Arc<StoreError>>) {
        for reply in self.replies {
            match reply {
                Reply::Turn(turn, ticket) => {
                    let message = match result {
                        Ok(()) => Message::Committed(ticket),
                        Err(error) => Message::Refused(ticket, error.clone()),
                    };
                    let _ = turn.send(message);
                }
                Reply::Start(caller) => drop(caller.send(result.clone())),
            }
        }
    }

    /// Tells its turns that the run is no longer this worker's.
    pub fn not_yours(self) {
        for reply in self.replies {
            if let Reply::Turn(turn, _) = reply {
                let _ = turn.send(Message::NotYours);
            }
        }
    }
}
