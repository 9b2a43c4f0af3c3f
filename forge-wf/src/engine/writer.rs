//! The lanes: what queued while the last commit was in flight becomes the next batch.
//!
//! Takes [`Item`]s of many runs, folds them to one write per row, commits them, and answers each. No timer and no
//! added latency: load makes batches, a lone run commits at once. A batch the database refuses for its data is split
//! between runs until the culprit is alone; a batch without an answer is sent again, under the same number. A batch that the
//! database answers with an error nobody knows is refused for its data only if the same database accepts an empty batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::config::DATABASE_RETRY;
use super::pauses::Pauses;
use super::session::Session;
use super::turn::Message;
use crate::journal::Entry;
use crate::model::limits::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX};
use crate::model::{Lane, Payload, RunId};
use crate::store::{
    Batch, Birth, Mark, Marked, NewMail, NewRun, Owned, RunImage, RunUpdate, SavedState, Sent, Store, StoreError, Write,
};

/// How many empty batches the database must accept, with a refusal of the full one before each, until the data of that one is
/// at fault.
const PROBES: u32 = 2;

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
    fn hand_over(&self) -> bool {
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
struct Folded {
    run: RunId,
    claim_no: i64,
    birth: Option<Box<Starting>>,
    image: Option<RunImage>,
    writes: Vec<Staged>,
    along: Along,
    replies: Vec<Reply>,
    current: Arc<AtomicBool>,
}

impl Folded {
    fn new(item: Item) -> Self {
        let Item { run, claim_no, birth, image, writes, along, reply, current } = item;
        Self { run, claim_no, birth, image, writes, along, replies: vec![reply], current }
    }

    /// Adds a later item of the same run: at most one write per row is left.
    fn fold(&mut self, item: Item) {
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

    fn write_into(&self, batch: &mut Batch) {
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

    fn answer(self, result: &Result<(), Arc<StoreError>>) {
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

    fn not_yours(self) {
        for reply in self.replies {
            if let Reply::Turn(turn, _) = reply {
                let _ = turn.send(Message::NotYours);
            }
        }
    }
}

/// One lane of one session.
pub struct LaneWriter {
    store: Arc<dyn Store>,
    session: Arc<Session>,
    lane: Lane,
    batch_no: i64,
}

impl LaneWriter {
    /// A lane whose last batch has the number 0.
    pub fn new(store: Arc<dyn Store>, session: Arc<Session>, lane: Lane) -> Self {
        Self { store, session, lane, batch_no: 0 }
    }

    /// Commits what comes in until the queue is closed or the lease is lost. Never to be dropped half-way.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Item>) {
        let mut first = None;
        while let Some(item) = match first.take() {
            Some(item) => Some(item),
            None => queue.recv().await,
        } {
            // The turns answered by the last commit are about to ask for more. Letting them go first gives one full batch in place
            // of a small and a large one; with nothing else to do it takes no time.
            tokio::task::yield_now().await;
            let (groups, left) = collect(item, &mut queue);
            first = left;
            if !groups.is_empty() && self.commit(groups).await.is_err() {
                self.session.lose();
                return;
            }
        }
    }

    /// Commits these runs; on refused data, halves until the culprit is alone.
    ///
    /// # Errors
    /// The lease is lost.
    async fn commit(&mut self, groups: Vec<Folded>) -> Result<(), LeaseLost> {
        let mut parts = vec![groups];
        while let Some(mut groups) = parts.pop() {
            let mut batch = Batch::default();
            groups.iter().for_each(|group| group.write_into(&mut batch));
            debug_assert_eq!(batch.unnamed(), None, "every part is guarded by the claim of its run");
            #[cfg(feature = "testing")]
            crate::store::crash::before_commit(&batch);
            match self.send(&batch).await? {
                Ok(not_yours) => {
                    #[cfg(feature = "testing")]
                    crate::store::crash::after_commit(&batch);
                    for group in groups {
                        if not_yours.contains(&group.run) { group.not_yours() } else { group.answer(&Ok(())) }
                    }
                }
                Err(refused) if groups.len() == 1 => {
                    let culprit = groups.remove(0);
                    tracing::error!(run = %culprit.run, error = %refused, "the database refuses what this run writes");
                    // What the run has queued behind this would leave a gap in its journal.
                    culprit.current.store(false, Ordering::Release);
                    culprit.answer(&Err(refused));
                }
                Err(_) => {
                    let second = groups.split_off(groups.len() / 2);
                    parts.push(second);
                    parts.push(groups);
                }
            }
        }
        Ok(())
    }

    /// Sends one batch until the database accepts it, refuses its data, or the lease is lost.
    ///
    /// An error that may be of the data or of the whole database (rights that were taken away, say) is of the data only if the
    /// database accepts an empty batch, then refuses this one again, and accepts another empty batch: what it refuses to
    /// everybody is not the fault of the runs, and blames none of them.
    async fn send(&mut self, batch: &Batch) -> Result<Result<Vec<RunId>, Arc<StoreError>>, LeaseLost> {
        let mut accepted = 0;
        let mut pauses = Pauses::new(DATABASE_RETRY);
        loop {
            let error = match self.send_once(batch).await? {
                Ok(not_yours) => return Ok(Ok(not_yours)),
                Err(refused @ StoreError::Refused { .. }) => return Ok(Err(Arc::new(refused))),
                Err(error) => error,
            };
            if error.may_be_of_the_data() && self.send_once(&Batch::probe()).await?.is_ok() {
                accepted += 1;
                if accepted == PROBES {
                    return Ok(Err(Arc::new(error)));
                }
                continue;
            }
            accepted = 0;
            tracing::error!(worker = %self.session.worker, %error, "a commit is not possible; sending it again");
            tokio::time::sleep(pauses.take()).await;
        }
    }

    /// Sends one batch until there is an answer. One that is accepted uses its number up.
    async fn send_once(&mut self, batch: &Batch) -> Result<Result<Vec<RunId>, StoreError>, LeaseLost> {
        let (store, worker, lane, batch_no) = (&self.store, self.session.worker, self.lane, self.batch_no + 1);
        if self.session.is_lost() {
            return Err(LeaseLost);
        }
        let send = || store.commit(worker, lane, batch_no, batch);
        match self.session.until(|error| !error.is_passing(), "a commit", send).await {
            None | Some(Err(StoreError::LeaseLost { .. })) => Err(LeaseLost),
            Some(Err(error @ StoreError::CommitsLost { .. })) => {
                self.session.lose_commits(&error);
                Err(LeaseLost)
            }
            Some(Ok(answer)) => {
                self.batch_no = batch_no;
                Ok(Ok(answer.not_yours))
            }
            Some(Err(error)) => Ok(Err(error)),
        }
    }
}

struct LeaseLost;

/// Takes what is queued, up to a batch, folded by run. What belongs to a turn that is no longer current is dropped.
fn collect(first: Item, queue: &mut mpsc::UnboundedReceiver<Item>) -> (Vec<Folded>, Option<Item>) {
    let mut groups: Vec<Folded> = Vec::new();
    let mut places: HashMap<RunId, usize> = HashMap::new();
    let (mut operations, mut bytes) = (0, 0);
    let mut next = Some(first);
    while let Some(item) = next {
        if item.current.load(Ordering::Acquire) {
            let along = |staged: &Staged| staged.along.operations();
            operations +=
                1 + item.writes.len() + item.writes.iter().map(along).sum::<usize>() + item.along.operations();
            bytes += item.writes.iter().map(Staged::bytes).sum::<usize>();
            bytes += item.along.bytes();
            bytes += item.birth.as_ref().map_or(0, |start| start.run.input.as_str().len());
            if !groups.is_empty() && (operations > BATCH_OPERATIONS_MAX || bytes > BATCH_BYTES_MAX) {
                return (groups, Some(item));
            }
            if item.birth.as_ref().is_some_and(|start| !start.handover.hand_over()) {
                next = queue.try_recv().ok();
                continue;
            }
            match places.get(&item.run) {
                Some(&place) => groups[place].fold(item),
                None => {
                    places.insert(item.run, groups.len());
                    groups.push(Folded::new(item));
                }
            }
        }
        next = queue.try_recv().ok();
    }
    (groups, None)
}
