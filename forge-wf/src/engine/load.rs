//! Loads what was claimed: journals and mail, in pieces that fit into memory, and past rows that cannot be read.
//!
//! Takes claimed runs, hands each with its journal and its mail to [`Engine::begin`]. A piece that cannot be loaded is left to a task
//! beside the claim loop, which tries its runs one by one and sets those apart that cannot be read: so one bad row stops no other
//! run. A run whose rows a newer build has written is given back as it is. Blocks nothing because of an outage: a run is called
//! unreadable only if another one can be read at that moment.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::config::DATABASE_RETRY;
use super::leaving::given_back_image;
use super::pauses::Pauses;
use super::room::Held;
use super::session::Session;
use super::{ClaimId, Engine};
use crate::model::RunId;
use crate::store::{BAD_IN_A_ROW, ClaimedRun, Due, Inbox, Journal, StoreError, fault_of};

/// How long this worker leaves a run to others that it could not take up.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(60);
/// Runs that are loaded together at the most. Of each the mail is up to two pages of some MB, whatever room there is for journals.
const PIECE: usize = 16;
/// Runs that are left to others, up to this number: each claim names them all.
const AVOIDED_MAX: usize = 1_000;

/// A claimed run that has no turn yet. While this exists, the run is not taken to be lost, and its mail is kept an eye on.
pub struct Taken {
    /// The run.
    pub run: ClaimedRun,
    in_hand: InHand,
}

impl Taken {
    /// The run has its turn from here on, which takes its mail.
    pub fn has_turn(mut self) {
        self.in_hand.takes_mail = false;
    }
}

/// A claimed run with what a turn needs.
pub struct Loaded {
    /// The run.
    pub taken: Taken,
    /// Its journal.
    pub journal: Journal,
    /// Its mail.
    pub mail: Inbox,
    /// The room its journal takes until it is read.
    pub room: Held,
}

struct InHand {
    engine: Arc<Engine>,
    run: RunId,
    claim: ClaimId,
    /// Whether its mail is kept an eye on for a turn that is to come.
    takes_mail: bool,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut in_hand = self.engine.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if in_hand.get(&self.run) != Some(&self.claim) {
            // A later session has claimed it again.
            return;
        }
        in_hand.remove(&self.run);
        drop(in_hand);
        if self.takes_mail {
            self.engine.mailroom().claim_is_over([self.run]);
        }
    }
}

impl Engine {
    /// Notes that this run was claimed and will have a turn. Before its mail is read: what comes from here on is looked for again when
    /// its turn begins.
    pub(super) fn take(self: &Arc<Self>, session: &Session, run: ClaimedRun) -> Taken {
        let claim = ClaimId { session: session.worker, claim_no: run.claim_no };
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id, claim);
        self.mailroom().claimed([run.id]);
        Taken { in_hand: InHand { engine: self.clone(), run: run.id, claim, takes_mail: true }, run }
    }

    /// Whether this worker knows of this run that it owns it.
    pub(super) fn knows(&self, run: RunId) -> bool {
        self.turns().contains_key(&run)
            || self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
            || [&self.left_behind, &self.unread]
                .into_iter()
                .any(|known| known.lock().unwrap_or_else(PoisonError::into_inner).contains(&run))
    }

    /// Loads claimed runs and begins their turns.
    pub(super) async fn bring_in(
        self: &Arc<Self>,
        session: &Arc<Session>,
        runs: Vec<ClaimedRun>,
        mut permits: OwnedSemaphorePermit,
        alone: bool,
    ) {
        let mut rest: VecDeque<_> = runs.into_iter().map(|run| self.take(session, run)).collect();
        let mut together = true;
        while !rest.is_empty() {
            let asked = rest.len().min(PIECE);
            let loaded = match self.load(&mut rest, together).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::warn!(worker = %session.worker, %error, "claimed runs could not be loaded; trying one by one");
                    let (engine, session) = (self.clone(), session.clone());
                    tokio::spawn(async move {
                        engine.bring_in_one_by_one(&session, rest, permits, alone).await;
                        engine.slot_is_free();
                    });
                    return;
                }
            };
            together = loaded.len() == asked;
            for loaded in loaded {
                let Some(permit) = self.slot_of(session, &mut permits, alone, &loaded).await else { return };
                self.begin(session, loaded, permit).await;
            }
        }
    }

    /// Loads runs from the front of `rest`: as many as there is room for, up to the number whose mail is read at a time. If they are
    /// likely to fit all `together`, mail and journals are asked for at once.
    async fn load(&self, rest: &mut VecDeque<Taken>, together: bool) -> Result<Vec<Loaded>, StoreError> {
        let ids: Vec<_> = rest.iter().take(PIECE).map(|taken| (taken.run.id, taken.run.generation)).collect();
        let mut runs: Vec<_> = ids.iter().map(|(run, _)| *run).collect();
        let mut room = self.room.part().await;
        let mut mail = None;
        let mut journals = if together {
            let journals = self.store.load_journals_up_to(&ids, room.bytes());
            let (journals, all) = tokio::join!(journals, self.store.load_mail(&runs));
            mail = Some(all?);
            journals?
        } else {
            self.store.load_journals_up_to(&ids, room.bytes()).await?
        };
        if journals.is_empty() {
            // It is longer than a part of the room, perhaps than all the room.
            drop(room);
            room = self.room.whole().await;
            journals = self.store.load_journals(&ids[..1]).await?;
        }
        runs.truncate(journals.len());
        let mail = match mail {
            Some(mail) => mail,
            None => self.store.load_mail(&runs).await?,
        };
        let taken = rest.drain(..journals.len());
        Ok(taken
            .zip(journals.into_iter().zip(mail))
            .map(|(taken, (journal, mail))| {
                let room = room.cut(journal.bytes());
                Loaded { taken, journal, mail, room }
            })
            .collect())
    }

    /// The slot of a run: one of those that the claim was made with, or for an adopted run the next that is free.
    async fn slot_of(
        &self,
        session: &Session,
        permits: &mut OwnedSemaphorePermit,
        alone: bool,
        loaded: &Loaded,
    ) -> Option<OwnedSemaphorePermit> {
        // Adopted runs may come on top of the slots that were asked for.
        let wanted = if alone && self.is_suspect(&loaded.taken.run) { permits.num_permits() } else { 1 };
        match permits.split(wanted).filter(|permit| permit.num_permits() > 0) {
            Some(permit) => Some(permit),
            None => {
                // Those that have begun shall have their mail, however long this takes.
                // What was claimed and gets no turn goes with this worker's row.
                self.slot_while_serving(session).await
            }
        }
    }

    /// Loads claimed runs one by one, again and again, until each has a turn or is set apart.
    async fn bring_in_one_by_one(
        self: &Arc<Self>,
        session: &Arc<Session>,
        mut rest: VecDeque<Taken>,
        mut permits: OwnedSemaphorePermit,
        alone: bool,
    ) {
        let mut pauses = Pauses::new(DATABASE_RETRY);
        loop {
            let (mut bad, mut good) = (VecDeque::new(), 0);
            while let Some(taken) = rest.pop_front() {
                if session.is_lost() || self.is_draining() {
                    return;
                }
                let (run, mut one) = (taken.run.clone(), VecDeque::from([taken]));
                match self.load(&mut one, true).await {
                    Ok(loaded) => {
                        good += 1;
                        for loaded in loaded {
                            let Some(permit) = self.slot_of(session, &mut permits, alone, &loaded).await else {
                                return;
                            };
                            self.begin(session, loaded, permit).await;
                        }
                    }
                    Err(error @ StoreError::Unknown { .. }) => self.leave_to_others(session, &run, &error).await,
                    // The database has read it, and it makes no sense: nothing else is at fault.
                    Err(error @ StoreError::Corrupt { .. }) => {
                        self.set_unreadable(session, &run, &error.to_string()).await
                    }
                    Err(error) => bad.push_back((one.pop_front().expect("it was not loaded"), error)),
                }
                if good == 0 && bad.len() >= BAD_IN_A_ROW {
                    break;
                }
            }
            for (taken, error) in bad {
                let (run, said) = ((taken.run.id, taken.run.generation), error.to_string());
                match fault_of(&*self.store, run, error).await {
                    Ok(what) => self.set_unreadable(session, &taken.run, &what).await,
                    // It can be read now, or nothing can.
                    Err(why) => {
                        tracing::warn!(run = %run.0, error = said, %why, "a claimed run could not be loaded; trying again");
                        rest.push_back(taken);
                    }
                }
            }
            if rest.is_empty() {
                return;
            }
            // What was set apart needs its slot no more. A claim for one run alone keeps them all for that one.
            let unused = permits.num_permits().saturating_sub(rest.len());
            if !alone && unused > 0 {
                drop(permits.split(unused));
                self.slot_is_free();
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.take()) => {}
                () = session.lost() => return,
            }
        }
    }

    /// Gives back a claimed run of which this build does not know all: ready for a newer build, which may have written it.
    async fn leave_to_others(&self, session: &Session, run: &ClaimedRun, error: &StoreError) {
        if !session.is_fresh() {
            return;
        }
        if self.strange.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id) {
            tracing::warn!(run = %run.id, workflow = %run.workflow, %error, "a run is left to workers of a newer build");
        }
        let due =
            if self.avoid(run.id, LEFT_TO_OTHERS) { Due::Now } else { Due::At(self.clock.now() + LEFT_TO_OTHERS) };
        let image = given_back_image(run, due);
        self.write_image(session, run, image, Vec::new()).await;
        self.hint_others();
    }

    /// Rows of claimed runs that make no sense here: they are left as they are, owned by this worker until it goes.
    pub(super) fn leave_unread(&self, rows: Vec<(RunId, StoreError)>) {
        for (run, error) in rows {
            if self.unread.lock().unwrap_or_else(PoisonError::into_inner).insert(run) {
                tracing::error!(%run, %error, "the row of this run cannot be read; it is left as it is");
            }
        }
    }

    /// Does not claim this run for a while; `false` if there are too many of these already.
    pub(super) fn avoid(&self, run: RunId, length: Duration) -> bool {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        avoided.retain(|_, until| *until > now);
        if avoided.len() >= AVOIDED_MAX {
            return false;
        }
        avoided.insert(run, now + length);
        drop(avoided);
        self.run_is_due(self.clock.now() + length);
        true
    }

    /// The runs that are not to be claimed now. When the first of them may be claimed again is noted as a time to look.
    pub(super) fn avoided(&self) -> Vec<RunId> {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        avoided.retain(|_, until| *until > now);
        let (runs, first) = (avoided.keys().copied().collect(), avoided.values().min().copied());
        drop(avoided);
        if let Some(first) = first {
            self.run_is_due(self.clock.now() + (first - now));
        }
        runs
    }
}
