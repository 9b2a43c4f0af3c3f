//! Claims runs and keeps every slot busy.
//!
//! Takes the number of free slots, asks the store, hands each run to a [`turn`](super::turn). Never holds a run it
//! has no slot for: slots cap a claim, the length of the queue does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use super::drive::Stuck;
use super::session::Session;
use super::turn::Turn;
use crate::journal::History;
use crate::model::{BlockReason, RunId};
use crate::store::{ClaimRequest, ClaimedRun, Journal, StoreError};

/// Runs one claim takes at the most: their journals are loaded in one go.
const CLAIM_MAX: usize = 100;
/// Pause before the next claim while few slots are free.
const FEW_SLOTS_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// Claims and spawns turns until the lease is lost or the worker drains.
    pub(super) async fn claim_until_over(self: &Arc<Self>, session: &Arc<Session>) {
        while !session.is_lost() && !self.is_draining() {
            let claimed = match self.reserve() {
                Some(permits) => self.claim(session, permits).await,
                None => 0,
            };
            if claimed > 0 {
                // Slots that come free one by one would cost a claim each: a moment's patience takes several at once.
                if self.slots.available_permits() <= self.config.concurrency / 16 {
                    tokio::time::sleep(FEW_SLOTS_PAUSE).await;
                }
                continue;
            }
            tokio::select! {
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(self.config.poll) => {}
                () = session.lost() => {}
            }
        }
    }

    /// Reserves half of the free slots (at least one), so that starts in this process find some too.
    fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.config.max_resident.saturating_sub(self.turns().len());
        let free = self.slots.available_permits().min(room);
        let wanted = free.div_ceil(2).min(CLAIM_MAX) as u32;
        (wanted > 0).then(|| self.slots.clone().try_acquire_many_owned(wanted).ok()).flatten()
    }

    /// Claims up to as many runs as there are permits; returns how many it took.
    async fn claim(self: &Arc<Self>, session: &Arc<Session>, mut permits: OwnedSemaphorePermit) -> usize {
        // Lowered before asking: what comes in meanwhile raises it again.
        self.backlog.store(false, Ordering::Release);
        let slots = permits.num_permits();
        let request = ClaimRequest {
            worker: session.worker,
            claim_no: session.claim_no.load(Ordering::Relaxed) + 1,
            slots: slots as u32,
            offers: self.offers.clone(),
            adopt: self.take_to_adopt(),
        };
        let asked = session.until_answered("a claim", || self.store.claim_runs(&request)).await;
        let runs = match asked {
            Some(Ok(runs)) => runs,
            None => return 0,
            Some(Err(StoreError::LeaseLost { .. })) => {
                session.lose();
                return 0;
            }
            Some(Err(error)) => {
                tracing::error!(worker = %session.worker, %error, "claiming runs failed");
                return 0;
            }
        };
        // An answer uses the number up, even an empty one: the lane may have moved although other claimers were faster to
        // every run, and the same number again would only ever show that nothing came of it.
        session.claim_no.store(request.claim_no, Ordering::Relaxed);
        if runs.is_empty() {
            return 0;
        }
        if runs.len() >= slots {
            self.backlog.store(true, Ordering::Release);
        }
        let taken = runs.len();
        for (run, journal) in self.load(session, runs).await {
            // Adopted runs may come on top of the slots that were asked for.
            let permit = match permits.split(1) {
                Some(permit) => Some(permit),
                None => self.slot_while_serving(session).await,
            };
            // What was claimed and has no turn goes with this worker's row.
            let Some(permit) = permit else { break };
            self.begin(session, run, journal, permit).await;
        }
        taken
    }

    /// A slot as soon as one is free, unless the worker drains or loses its lease first: nothing here may keep it from that.
    async fn slot_while_serving(&self, session: &Session) -> Option<OwnedSemaphorePermit> {
        let mut free = std::pin::pin!(self.slots.clone().acquire_owned());
        loop {
            tokio::select! {
                permit = &mut free => return permit.ok(),
                () = session.lost() => return None,
                () = self.nudge.notified() => {}
            }
            if self.is_draining() {
                return None;
            }
        }
    }

    async fn begin(
        self: &Arc<Self>,
        session: &Arc<Session>,
        run: ClaimedRun,
        journal: Result<Journal, String>,
        permit: OwnedSemaphorePermit,
    ) {
        let workflow = self.registry.workflow(run.definition);
        let history = journal.and_then(|journal| {
            History::load(journal.entries).map_err(|corrupt| format!("its journal cannot be read: {corrupt}"))
        });
        let message = match (workflow, history) {
            (Some(workflow), Ok(history)) if !history.is_ended() => {
                return self.spawn(Turn::new(self.clone(), session.clone(), run, workflow, history, permit));
            }
            (Some(_), Ok(_)) => "its journal has an end, but its row has none".to_owned(),
            (Some(_), Err(message)) => message,
            (None, _) => format!("this worker does not have its definition {}", run.definition.short()),
        };
        // A worker that was frozen between its claim and here reads what a new owner wrote since: none of its business.
        if !session.is_fresh() {
            return;
        }
        tracing::error!(run = %run.id, workflow = %run.workflow, "{message}");
        self.block(session, &run, &Stuck { reason: BlockReason::Divergence, message }).await;
    }

    /// Loads journals; one that cannot be read does not keep its neighbours from running.
    async fn load(&self, session: &Session, runs: Vec<ClaimedRun>) -> Vec<(ClaimedRun, Result<Journal, String>)> {
        let all: Vec<_> = runs.iter().map(|run| (run.id, run.generation)).collect();
        match session.until_answered("loading journals", || self.store.load_journals(&all)).await {
            None => Vec::new(),
            Some(Ok(journals)) => runs.into_iter().zip(journals.into_iter().map(Ok)).collect(),
            Some(Err(_)) => {
                let mut loaded = Vec::with_capacity(runs.len());
                for run in runs {
                    let one = [(run.id, run.generation)];
                    match session.until_answered("loading a journal", || self.store.load_journals(&one)).await {
                        None => break,
                        Some(Ok(mut journals)) => {
                            let journal = journals.pop().ok_or_else(|| "its journal is gone".to_owned());
                            loaded.push((run, journal));
                        }
                        Some(Err(error)) => loaded.push((run, Err(error.to_string()))),
                    }
                }
                loaded
            }
        }
    }

    /// Runs this worker owns without a turn, as the last sweep found them and as it still is.
    fn take_to_adopt(&self) -> Vec<RunId> {
        let mut adopt = std::mem::take(&mut *self.adopt.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let turns = self.turns();
        adopt.retain(|run| !turns.contains_key(run));
        adopt
    }
}
