//! Claims runs and keeps every slot busy.
//!
//! Takes the number of free slots, asks the store, has what it gives [loaded](super::load) and hands each run to a
//! [`turn`](super::turn). Never holds a run it has no slot for: slots cap a claim, the length of the queue does not. Nothing that is
//! about one run holds up the claims: not a row that cannot be read, nor a body that does not come to rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use super::load::Loaded;
use super::pauses::Pauses;
use super::session::Session;
use super::turn::Turn;
use super::unwind::Unwinding;
use crate::journal::{Corrupt, History};
use crate::model::{Phase, RunId};
use crate::store::{ClaimRequest, ClaimedRun, Inbox, Journal, Mailbag, StoreError};

/// Runs one claim takes at the most.
const CLAIM_MAX: usize = 100;
/// Pause before the next claim while few slots are free.
const FEW_SLOTS_PAUSE: Duration = Duration::from_millis(2);
/// Pause before the next claim when others hold all that is due: the first, doubling up to the second.
const CONTENDED_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));

/// Longest pause before the next claim after one that the database refused. The first is the poll interval.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a run is avoided that the database refuses to give.
const AVOID_REFUSED: Duration = Duration::from_secs(60);

/// Whatever wakes this worker meanwhile: the database refuses each claim, and has heard that often enough.
async fn refused_again(session: &Session, failed: &mut Pauses) {
    tokio::select! {
        () = tokio::time::sleep(failed.take()) => {}
        () = session.lost() => {}
    }
}

impl Engine {
    /// Claims and spawns turns until the lease is lost or the worker drains.
    pub(super) async fn claim_until_over(self: Arc<Self>, session: Arc<Session>) {
        let session = &session;
        let mut contended = Pauses::new(CONTENDED_PAUSE);
        let mut failed = Pauses::new((self.config.poll.min(FAILED_PAUSE_MAX), FAILED_PAUSE_MAX));
        while !session.is_lost() && !self.is_draining() {
            let claimed = match self.reserve() {
                Some(permits) => self.claim(session, permits, &mut contended, &mut failed).await,
                None => 0,
            };
            if claimed > 0 {
                // Slots that come free one by one would cost a claim each: a moment's patience takes several at once.
                if self.slots.available_permits() <= self.config.concurrency / 16 {
                    tokio::time::sleep(FEW_SLOTS_PAUSE).await;
                }
                continue;
            }
            self.wait_for_work(session).await;
        }
    }

    /// Returns when there may be something to claim.
    async fn wait_for_work(&self, session: &Session) {
        loop {
            tokio::select! {
                () = self.nudge.notified() => return,
                () = session.lost() => return,
                // Another due time is known now.
                () = self.rescheduled.notified() => {}
                () = tokio::time::sleep(self.until_next_look()) => {
                    // Raised first: a slot that comes free from here on looks.
                    self.backlog.store(true, Ordering::Release);
                    if self.has_room() {
                        return;
                    }
                    // Something is due and there is no room here: others look now.
                    self.forget_next_due();
                    self.hint_others();
                }
            }
        }
    }

    /// Whether there is a slot for a further run, and a place in memory.
    pub(super) fn has_room(&self) -> bool {
        self.slots.available_permits() > 0 && self.turns().len() < self.config.max_resident
    }

    /// Reserves half of the free slots (at least one), so that starts in this process find some too.
    fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        if let Some(all) = self.reserve_alone() {
            return all;
        }
        let room = self.config.max_resident.saturating_sub(self.turns().len());
        let free = self.slots.available_permits().min(room);
        let wanted = free.div_ceil(2).min(CLAIM_MAX) as u32;
        (wanted > 0).then(|| self.slots.clone().try_acquire_many_owned(wanted).ok()).flatten()
    }

    /// Claims up to as many runs as there are permits; returns how many it took.
    async fn claim(
        self: &Arc<Self>,
        session: &Arc<Session>,
        mut permits: OwnedSemaphorePermit,
        contended: &mut Pauses,
        failed: &mut Pauses,
    ) -> usize {
        // Lowered before asking: what comes in meanwhile raises it again. The same for what is due next.
        self.backlog.store(false, Ordering::Release);
        self.forget_next_due();
        // Of those that are avoided the claim says nothing.
        let avoid = self.avoided();
        // One run that takes all slots is alone.
        let alone = permits.num_permits() >= self.config.concurrency;
        let slots = if alone { 1 } else { permits.num_permits() };
        let request = ClaimRequest {
            worker: session.worker,
            claim_no: session.claim_no.load(Ordering::Relaxed) + 1,
            slots: slots as u32,
            offers: self.offers.clone(),
            adopt: self.take_to_adopt(),
            avoid,
        };
        let mut asked_at = Instant::now();
        let ask = || {
            asked_at = Instant::now();
            self.store.claim_runs(&request)
        };
        // An error that the database does not explain is an answer here: what it accuses may be a run that is to be adopted, and
        // the next claim asks for none.
        let asked = session.until(|error| !error.is_passing(), "a claim", ask).await;
        let runs = match asked {
            Some(Ok(claim)) => {
                self.clock.correct(asked_at, claim.now);
                if claim.refused.is_empty() {
                    failed.start_again();
                }
                if claim.contended {
                    // Whoever holds it may do so for long; what else comes up wakes this worker at once all the same.
                    self.run_is_due(self.clock.now() + contended.take());
                } else {
                    contended.start_again();
                }
                if let Some(due) = claim.next_due {
                    self.run_is_due(due);
                }
                if !claim.unreadable.is_empty() {
                    // They took the place of what is due behind them, and that was not asked for.
                    self.nudge();
                }
                self.leave_unread(claim.unreadable);
                if !claim.refused.is_empty() {
                    self.leave_refused(claim.refused);
                    // What is due behind them was not asked for.
                    self.nudge();
                    if claim.runs.is_empty() {
                        refused_again(session, failed).await;
                    }
                }
                claim.runs
            }
            None => return 0,
            Some(Err(StoreError::LeaseLost { .. })) => {
                session.lose();
                return 0;
            }
            Some(Err(error @ StoreError::CommitsLost { .. })) => {
                session.lose_commits(&error);
                return 0;
            }
            Some(Err(error)) => {
                tracing::error!(worker = %session.worker, %error, "claiming runs failed");
                drop(permits);
                refused_again(session, failed).await;
                self.nudge();
                return 0;
            }
        };
        // An answer uses the number up, even an empty one: the lane may have moved although other claimers were faster to
        // every run, and the same number again would only ever show that nothing came of it.
        session.claim_no.store(request.claim_no, Ordering::Relaxed);
        if runs.is_empty() {
            self.wants_none_alone();
            return 0;
        }
        // There may be more, and what is due next was not asked for: if there is no room now, the next free slot looks.
        self.backlog.store(true, Ordering::Release);
        let taken = runs.len();
        let (runs, alone) = self.set_apart(session, runs, &mut permits, alone).await;
        self.bring_in(session, runs, permits, alone).await;
        taken
    }

    /// Runs that the database refuses to give: they are avoided for a while, since each costs a claim of its own.
    fn leave_refused(&self, runs: Vec<(RunId, StoreError)>) {
        for (run, error) in runs {
            tracing::error!(
                %run, %error,
                "the database refuses to change the row of this run, while it allows other claims; it is left as it is, and tried again \
                 in {} s; look for a trigger or a policy on the table of runs",
                AVOID_REFUSED.as_secs()
            );
            self.avoid(run, AVOID_REFUSED);
        }
    }

    /// A slot as soon as one is free, unless the worker drains or loses its lease first: nothing here may keep it from that.
    pub(super) async fn slot_while_serving(&self, session: &Session) -> Option<OwnedSemaphorePermit> {
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

    /// Gives a claimed run its turn; beside this, if it may have to be moved to a newer version first.
    pub(super) async fn begin(self: &Arc<Self>, session: &Arc<Session>, loaded: Loaded, permit: OwnedSemaphorePermit) {
        if let Some(what) = &loaded.mail.unreadable {
            return self.set_unreadable(session, &loaded.taken.run, what).await;
        }
        if !self.may_be_moved(&loaded.taken.run) {
            return self.begin_turn(session, loaded, permit).await;
        }
        let (engine, session) = (self.clone(), session.clone());
        let mut loaded = loaded;
        tokio::spawn(async move {
            // If it is not known to be moved it is somebody else's, or will be taken up as lost.
            if engine.move_on(&session, &mut loaded.taken.run, &mut loaded.journal).await {
                engine.begin_turn(&session, loaded, permit).await;
            } else {
                drop((loaded, permit));
            }
            // If it has no turn after all.
            engine.slot_is_free();
        });
    }

    async fn begin_turn(self: &Arc<Self>, session: &Arc<Session>, loaded: Loaded, permit: OwnedSemaphorePermit) {
        // Its runs belong to others by now; a turn that begins only now would not hear of that.
        if session.is_lost() {
            return;
        }
        let Loaded { taken, journal, mail, room } = loaded;
        let (run, Inbox { page, beyond, .. }) = (&taken.run, mail);
        let message = match self.turn_of(session, run, journal, page, permit) {
            Ok(mut turn) => {
                turn.add_mail(beyond);
                turn.refuse_if_poison();
                turn.keep_room_until_read(room);
                taken.has_turn();
                return self.spawn(turn);
            }
            Err(message) => message,
        };
        self.set_unreadable(session, run, &message).await;
    }

    /// The turn of a claimed run, or why it cannot begin. To end a run takes no workflow; a turn without one does nothing else.
    fn turn_of(
        self: &Arc<Self>,
        session: &Arc<Session>,
        run: &ClaimedRun,
        journal: Journal,
        mail: Mailbag,
        permit: OwnedSemaphorePermit,
    ) -> Result<Turn, String> {
        let unreadable = |corrupt: Corrupt| format!("its journal makes no sense: {corrupt}");
        let (engine, session, entries) = (self.clone(), session.clone(), journal.entries);
        if run.phase == Phase::Undo {
            let unwinding = Unwinding::load(entries).map_err(unreadable)?;
            return Ok(Turn::back(engine, session, run.clone(), unwinding, mail, permit));
        }
        let history = History::load(entries).map_err(unreadable)?;
        if history.is_ended() {
            return Err("its journal has an end, but its row has none".to_owned());
        }
        let workflow = run.definition.and_then(|definition| self.registry.workflow(definition));
        Ok(Turn::new(engine, session, run.clone(), workflow, history, mail, permit))
    }

    /// Runs this worker owns without a turn, as the last sweep found them and as it still is.
    fn take_to_adopt(&self) -> Vec<RunId> {
        let mut adopt = std::mem::take(&mut *self.adopt.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        adopt.retain(|run| !self.knows(*run));
        adopt
    }
}
