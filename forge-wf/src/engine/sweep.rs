//! Dead workers, lost runs, and runs nobody can serve.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::Engine;
use super::config::SWEEP_ANYWAY;
use super::drive::Stuck;
use super::leaving::blocked_image;
use super::session::Session;
use super::waiters::Outcome;
use super::writer::{Along, Item, Reply};
use crate::model::RunId;
use crate::store::{ClaimedRun, RunImage};

/// Every so many renewals of the lease a look for runs whose version is not here.
const STRAYS_EVERY: u32 = 4;

impl Engine {
    /// Looks around as often as the lease is renewed, until the session is over.
    pub(super) async fn sweep(self: Arc<Self>, session: Arc<Session>) {
        let mut missing = HashSet::new();
        let mut said = String::new();
        let mut last: Option<Instant> = None;
        let (mut last_stray, mut looks) = (None, 0_u32);
        while !session.is_lost() {
            tokio::select! {
                () = tokio::time::sleep(self.config.heartbeat) => {}
                () = session.lost() => return,
            }
            self.remind_overdue().await;
            if looks.is_multiple_of(STRAYS_EVERY) {
                self.move_strays(&session, &mut last_stray).await;
            }
            looks = looks.wrapping_add(1);
            // A renewal tells at once that somebody died. The rest is for what nobody tells, and has time.
            let told = session.others_expired();
            let due = last.is_none_or(|last| last.elapsed() >= SWEEP_ANYWAY);
            if told || due {
                self.take_over(&session).await;
            }
            if due || !missing.is_empty() {
                self.find_lost_runs(&session, &mut missing).await;
            }
            if due {
                self.report_unserved(&mut said).await;
                // A worker that is too young to judge others looks again soon.
                last = session.may_take_over().then(Instant::now);
            }
        }
    }

    /// Frees the runs of workers whose lease expired; only after a full lease of unbroken renewals of its own, so
    /// that an outage of the database does not make every worker evict every other.
    async fn take_over(&self, session: &Session) {
        if !session.may_take_over() {
            return;
        }
        match self.store.take_over(session.worker).await {
            Ok(taken) if taken.runs > 0 || taken.workers > 0 => {
                tracing::warn!(workers = taken.workers, runs = taken.runs, "took over the runs of dead workers");
                self.runs_are_ready();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not look for dead workers; trying again"),
        }
    }

    /// Deadlines of runs that nobody executes, and nobody is about to.
    async fn remind_overdue(&self) {
        match self.store.remind_overdue().await {
            Ok(0) => {}
            Ok(runs) => {
                tracing::warn!(
                    runs,
                    "these are past their deadline while they are blocked, paused, delayed or without a worker"
                );
                self.runs_are_ready();
            }
            Err(error) => tracing::debug!(%error, "could not look for runs past their deadline; trying again"),
        }
    }

    /// Runs that are this worker's in the database but not in memory, twice in a row: the next claim adopts them.
    async fn find_lost_runs(&self, session: &Session, missing: &mut HashSet<RunId>) {
        let owned = match self.store.owned_runs(session.worker).await {
            Ok(owned) => owned,
            Err(error) => return tracing::debug!(%error, "could not list this worker's runs"),
        };
        let now_missing: HashSet<_> = {
            let turns = self.turns();
            let left_behind = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
            owned.into_iter().filter(|run| !turns.contains_key(run) && !left_behind.contains(run)).collect()
        };
        let twice: Vec<_> = now_missing.intersection(missing).copied().collect();
        *missing = now_missing;
        if !twice.is_empty() {
            tracing::warn!(runs = twice.len(), "adopting runs this worker owns without holding them");
            *self.adopt.lock().unwrap_or_else(PoisonError::into_inner) = twice;
            self.nudge();
        }
    }

    /// Says in words which runs wait for a worker nobody has started, whenever that changes.
    async fn report_unserved(&self, said: &mut String) {
        let Ok(unserved) = self.store.unserved(self.config.unserved_grace).await else { return };
        let words = unserved.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if words != *said && !words.is_empty() {
            tracing::warn!("{words}");
        }
        *said = words;
    }

    /// Blocks a claimed run that cannot even begin.
    pub(super) async fn block(&self, session: &Session, run: &ClaimedRun, stuck: &Stuck) {
        // Without an answer whoever owns the run next finds the same.
        if self.write_image(session, run, blocked_image(run, stuck, &self.config)).await {
            self.waiters.tell(run.id, Some(Outcome::Blocked(stuck.clone())));
        }
    }

    /// Writes the image of a claimed run that has no turn; `false` if the lease is lost.
    pub(super) async fn write_image(&self, session: &Session, run: &ClaimedRun, image: RunImage) -> bool {
        let (reply, answered) = tokio::sync::oneshot::channel();
        session.submit(Item {
            run: run.id,
            claim_no: run.claim_no,
            birth: None,
            image: Some(image),
            writes: Vec::new(),
            along: Along::default(),
            reply: Reply::Start(reply),
            current: Arc::new(std::sync::atomic::AtomicBool::new(true)),
        });
        matches!(answered.await, Ok(Ok(())))
    }

    pub(super) fn left_behind_is_empty(&self) -> bool {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
