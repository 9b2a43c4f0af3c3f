//! The lanes: what queued while the last commit was in flight becomes the next batch.
//!
//! Takes [`Item`]s of many runs, folds them to one write per row, commits them, and answers each. No timer and no
//! added latency: load makes batches, a lone run commits at once. A batch without an answer is sent again, under the same number.
//!
//! A batch that the database does not accept is split between runs until the culprit is alone, if its data are refused or if the same
//! database accepts an empty batch meanwhile. A culprit whose data are refused hears of that. One whose rows another transaction
//! holds is [set aside](super::aside), and the others go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::aside::{Aside, SetAside};
use super::config::DATABASE_RETRY;
use super::pauses::Pauses;
use super::session::Session;
use super::writer::{Folded, Item};
use crate::model::limits::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX};
use crate::model::{Lane, RunId};
use crate::store::{Batch, CommitAnswer, Store, StoreError};

/// How many empty batches the database must accept, with a refusal of the full one before each, until that one is at fault.
const PROBES: u32 = 2;

/// One lane of one session.
pub struct LaneWriter {
    store: Arc<dyn Store>,
    session: Arc<Session>,
    lane: Lane,
    batch_no: i64,
    aside: Aside,
}

/// What an attempt to write some runs left over: runs whose rows cannot be written for now.
type Held = Vec<(Folded, Arc<StoreError>)>;

/// Runs that are sent together.
struct Part {
    groups: Vec<Folded>,
    /// Whether some of them are known to be held: then one more refusal is proof, and nothing is waited for long.
    is_suspect: bool,
}

struct LeaseLost;

impl LaneWriter {
    /// A lane whose last batch has the number 0.
    pub fn new(store: Arc<dyn Store>, session: Arc<Session>, lane: Lane) -> Self {
        Self { store, session, lane, batch_no: 0, aside: Aside::default() }
    }

    /// Commits what comes in until the queue is closed or the lease is lost. Never to be dropped half-way.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Item>) {
        if self.serve(&mut queue).await.is_err() {
            self.session.lose();
        }
    }

    async fn serve(&mut self, queue: &mut mpsc::UnboundedReceiver<Item>) -> Result<(), LeaseLost> {
        loop {
            // At most one attempt for a run that was set aside before each batch, so that the queue goes on.
            if let Some(again) = self.aside.take_due(Instant::now()) {
                self.try_again(again).await?;
            }
            let item = match self.aside.take_ready().or_else(|| queue.try_recv().ok()) {
                Some(item) => item,
                None => match self.aside.next_due() {
                    None => match queue.recv().await {
                        Some(item) => item,
                        None => return Ok(()),
                    },
                    Some(due) if queue.is_closed() => {
                        sleep_until(due).await;
                        continue;
                    }
                    Some(due) => match timeout_at(due, queue.recv()).await {
                        Ok(Some(item)) => item,
                        Ok(None) | Err(_) => continue,
                    },
                },
            };
            // The turns answered by the last commit are about to ask for more. Letting them go first gives one full batch in place
            // of a small and a large one; with nothing else to do it takes no time.
            tokio::task::yield_now().await;
            let groups = self.collect(item, queue);
            if groups.is_empty() {
                continue;
            }
            for (group, error) in self.commit(Part { groups, is_suspect: false }).await? {
                self.aside.set(group, &error, Instant::now());
            }
        }
    }

    /// Sends once more what was set aside, if its turn is still current.
    async fn try_again(&mut self, SetAside { group, behind }: SetAside) -> Result<(), LeaseLost> {
        if !group.current.load(Ordering::Acquire) {
            self.aside.is_over(behind);
            return Ok(());
        }
        match self.commit(Part { groups: vec![group], is_suspect: true }).await?.pop() {
            Some((group, error)) => self.aside.put_back(group, behind, &error, Instant::now()),
            None => self.aside.is_over(behind),
        }
        Ok(())
    }

    /// Commits these runs; halves what is not accepted until the culprit is alone. Returns those that cannot be written for now.
    ///
    /// # Errors
    /// The lease is lost.
    async fn commit(&mut self, all: Part) -> Result<Held, LeaseLost> {
        let (mut parts, mut held) = (vec![all], Held::new());
        while let Some(Part { mut groups, is_suspect }) = parts.pop() {
            let mut batch = Batch { hurries: is_suspect, ..Batch::default() };
            groups.iter().for_each(|group| group.write_into(&mut batch));
            debug_assert_eq!(batch.unnamed(), None, "every part is guarded by the claim of its run");
            #[cfg(feature = "testing")]
            crate::store::crash::before_commit(&batch);
            let error = match self.send(&batch, is_suspect).await? {
                Ok(not_yours) => {
                    #[cfg(feature = "testing")]
                    crate::store::crash::after_commit(&batch);
                    for group in groups {
                        if not_yours.contains(&group.run) { group.not_yours() } else { group.answer(&Ok(())) }
                    }
                    continue;
                }
                Err(error) => error,
            };
            let is_busy = matches!(*error, StoreError::Busy { .. });
            if groups.len() > 1 {
                let second = groups.split_off(groups.len() / 2);
                parts.extend([second, groups].map(|groups| Part { groups, is_suspect: is_suspect || is_busy }));
                continue;
            }
            let culprit = groups.remove(0);
            if is_busy {
                held.push((culprit, error));
            } else {
                tracing::error!(run = %culprit.run, %error, "the database refuses what this run writes");
                // What the run has queued behind this would leave a gap in its journal.
                culprit.current.store(false, Ordering::Release);
                culprit.answer(&Err(error));
            }
        }
        Ok(held)
    }

    /// Sends one batch until the database accepts it or refuses it for what it holds, or the lease is lost. `Err` means that it was not
    /// applied and never will be.
    ///
    /// An error may be of the batch or of the whole database: rights that were taken away, say, or a table that is locked. It is of the
    /// batch only if the database accepts an empty batch, then refuses this one again, and accepts another empty batch: what it
    /// refuses to everybody is not the fault of the runs, and blames none of them.
    ///
    /// The empty batch stands in for the full one. So once it was sent, the full one is sent under no number but a new one, and not
    /// before the empty one had an answer.
    async fn send(
        &mut self,
        batch: &Batch,
        is_suspect: bool,
    ) -> Result<Result<Vec<RunId>, Arc<StoreError>>, LeaseLost> {
        let mut accepted = 0;
        loop {
            let error = match self.send_once(batch).await? {
                Ok(answer) => return Ok(Ok(answer.not_yours)),
                Err(refused @ StoreError::Refused { .. }) => return Ok(Err(Arc::new(refused))),
                Err(error) => error,
            };
            match self.stand_in(&error).await? {
                StoodIn::TheBatchWasApplied => return Ok(Ok(Vec::new())),
                StoodIn::AtOnce => accepted += 1,
                StoodIn::Later => accepted = 0,
            }
            let is_busy = matches!(error, StoreError::Busy { .. });
            if accepted == PROBES || accepted > 0 && is_busy && is_suspect {
                return Ok(Err(Arc::new(error)));
            }
        }
    }

    /// Sends an empty batch in the place of one that had this error, until it is accepted.
    async fn stand_in(&mut self, error: &StoreError) -> Result<StoodIn, LeaseLost> {
        let mut pauses = Pauses::new(DATABASE_RETRY);
        let mut done = StoodIn::AtOnce;
        loop {
            match self.send_once(&Batch::probe()).await? {
                Ok(answer) if answer.other_applied => return Ok(StoodIn::TheBatchWasApplied),
                Ok(_) => return Ok(done),
                Err(empty) => {
                    tracing::error!(worker = %self.session.worker, %error, %empty, "a commit is not possible, nor an empty one; sending it again");
                    done = StoodIn::Later;
                    sleep(pauses.take()).await;
                }
            }
        }
    }

    /// Sends one batch until there is an answer. One that is accepted uses its number up.
    async fn send_once(&mut self, batch: &Batch) -> Result<Result<CommitAnswer, StoreError>, LeaseLost> {
        let (store, worker, lane) = (&self.store, self.session.worker, self.lane);
        let batch_no = self.batch_no + batch.step();
        if self.session.is_lost() {
            return Err(LeaseLost);
        }
        let send = || store.commit(worker, lane, batch_no, batch);
        let is_answer = |error: &StoreError| !matches!(error, StoreError::Unavailable { .. });
        match self.session.until(is_answer, "a commit", send).await {
            None | Some(Err(StoreError::LeaseLost { .. })) => Err(LeaseLost),
            Some(Err(error @ StoreError::CommitsLost { .. })) => {
                self.session.lose_commits(&error);
                Err(LeaseLost)
            }
            Some(Ok(answer)) => {
                self.batch_no = if answer.other_applied { batch_no - 1 } else { batch_no };
                Ok(Ok(answer))
            }
            Some(Err(error)) => Ok(Err(error)),
        }
    }

    /// Takes what is queued, up to a batch, folded by run. What belongs to a turn that is no longer current is dropped, and what
    /// belongs to a run that was set aside goes behind that.
    fn collect(&mut self, first: Item, queue: &mut mpsc::UnboundedReceiver<Item>) -> Vec<Folded> {
        let mut groups: Vec<Folded> = Vec::new();
        let mut places: HashMap<RunId, usize> = HashMap::new();
        let (mut operations, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(item) = next.take().or_else(|| self.aside.take_ready()).or_else(|| queue.try_recv().ok()) {
            if !item.current.load(Ordering::Acquire) {
                continue;
            }
            let Some(item) = self.aside.pass(item) else { continue };
            let (more_operations, more_bytes) = item.size();
            operations += more_operations;
            bytes += more_bytes;
            if !groups.is_empty() && (operations > BATCH_OPERATIONS_MAX || bytes > BATCH_BYTES_MAX) {
                self.aside.is_next(item);
                break;
            }
            if item.birth.as_ref().is_some_and(|start| !start.handover.hand_over()) {
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
        groups
    }
}

/// What became of an empty batch that was sent in the place of another.
enum StoodIn {
    /// It was accepted at once: the other one will never be applied.
    AtOnce,
    /// The same, after it was refused as well for a while.
    Later,
    /// The other one had been applied.
    TheBatchWasApplied,
}
