//! The lanes: what queued while the last commit was in flight becomes the next batch.
//!
//! Takes [`Item`]s of many runs, folds them to one write per row, commits them, and answers each. No timer and no
//! added latency: load makes batches, a lone run commits at once. A batch the database refuses for its data is split
//! between runs until the culprit is alone; a batch without an answer is sent again, under the same number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::config::DATABASE_RETRY;
use super::session::Session;
use super::turn::Message;
use crate::journal::Entry;
use crate::model::limits::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX};
use crate::model::{Lane, RunId};
use crate::store::{Batch, Birth, NewRun, RunImage, RunUpdate, Store, StoreError, Write};

/// One entry of an [`Item`].
#[derive(Clone)]
pub struct Staged {
    /// The whole entry as it shall be.
    pub entry: Entry,
    /// Whether it has no row yet.
    pub fresh: bool,
}

/// What one run wants written, all of it or nothing.
pub struct Item {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: i32,
    /// The claim it is owned under.
    pub claim_no: i64,
    /// The run itself, if it is to be inserted.
    pub birth: Option<Box<NewRun>>,
    /// What its row shall hold, if that changes.
    pub image: Option<RunImage>,
    /// Entries to write.
    pub writes: Vec<Staged>,
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
    generation: i32,
    claim_no: i64,
    birth: Option<Box<NewRun>>,
    image: Option<RunImage>,
    writes: Vec<Staged>,
    replies: Vec<Reply>,
    current: Arc<AtomicBool>,
}

impl Folded {
    fn new(item: Item) -> Self {
        let Item { run, generation, claim_no, birth, image, writes, reply, current } = item;
        Self { run, generation, claim_no, birth, image, writes, replies: vec![reply], current }
    }

    /// Adds a later item of the same run: at most one write per row is left.
    fn fold(&mut self, item: Item) {
        self.image = item.image.or(self.image.take());
        for later in item.writes {
            match self.writes.iter_mut().find(|earlier| earlier.entry.call == later.entry.call) {
                Some(earlier) => earlier.entry = later.entry,
                None => self.writes.push(later),
            }
        }
        self.replies.push(item.reply);
    }

    fn write_into(&self, batch: &mut Batch) {
        match (&self.birth, &self.image) {
            (Some(run), Some(image)) => batch.births.push(Birth { run: (**run).clone(), image: image.clone() }),
            (Some(_), None) => unreachable!("a birth comes with its image"),
            (None, Some(image)) => {
                batch.updates.push(RunUpdate { run: self.run, claim_no: self.claim_no, image: image.clone() });
            }
            (None, None) => {}
        }
        for Staged { entry, fresh } in &self.writes {
            let write = Write { run: self.run, generation: self.generation, entry: entry.clone() };
            if *fresh { batch.inserts.push(write) } else { batch.outcomes.push(write) }
        }
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
        let _guard = LoseOnPanic(self.session.clone());
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
            #[cfg(feature = "testing")]
            crate::testing::crash::before_commit(&batch);
            match self.send(&batch).await? {
                Ok(not_yours) => {
                    #[cfg(feature = "testing")]
                    crate::testing::crash::after_commit(&batch);
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

    /// Sends one batch until the database takes it, refuses its data, or the lease is lost. Whatever else it says (rights
    /// that were taken away, say) is not the fault of the runs, and blames none of them.
    async fn send(&mut self, batch: &Batch) -> Result<Result<Vec<RunId>, Arc<StoreError>>, LeaseLost> {
        let (store, worker, lane, batch_no) = (&self.store, self.session.worker, self.lane, self.batch_no + 1);
        while !self.session.is_lost() {
            match self.session.until_answered("a commit", || store.commit(worker, lane, batch_no, batch)).await {
                None | Some(Err(StoreError::LeaseLost { .. })) => break,
                Some(Ok(answer)) => {
                    self.batch_no = batch_no;
                    return Ok(Ok(answer.not_yours));
                }
                Some(Err(refused @ StoreError::Refused { .. })) => return Ok(Err(Arc::new(refused))),
                Some(Err(error)) => {
                    tracing::error!(%worker, %error, "a commit is not possible; sending it again");
                    tokio::time::sleep(DATABASE_RETRY.1).await;
                }
            }
        }
        Err(LeaseLost)
    }
}

struct LeaseLost;

/// Without its writer a session keeps runs it cannot write: the worker must begin another one.
struct LoseOnPanic(Arc<Session>);

impl Drop for LoseOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lose();
        }
    }
}

/// Takes what is queued, up to a batch, folded by run. What belongs to a turn that is no longer current is dropped.
fn collect(first: Item, queue: &mut mpsc::UnboundedReceiver<Item>) -> (Vec<Folded>, Option<Item>) {
    let mut groups: Vec<Folded> = Vec::new();
    let mut places: HashMap<RunId, usize> = HashMap::new();
    let (mut operations, mut bytes) = (0, 0);
    let mut next = Some(first);
    while let Some(item) = next {
        if item.current.load(Ordering::Acquire) {
            operations += 1 + item.writes.len();
            bytes += item.writes.iter().map(|staged| staged.entry.bytes()).sum::<usize>();
            bytes += item.birth.as_ref().map_or(0, |run| run.input.as_str().len());
            if !groups.is_empty() && (operations > BATCH_OPERATIONS_MAX || bytes > BATCH_BYTES_MAX) {
                return (groups, Some(item));
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
