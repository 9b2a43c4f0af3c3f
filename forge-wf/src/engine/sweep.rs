//! Dead workers, lost runs, and runs nobody can serve.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Engine;
use super::config::SWEEP_ANYWAY;
use super::drive::Stuck;
use super::leaving::blocked_image;
use super::session::Session;
use super::waiters::Outcome;
use super::writer::{Along, Item, Reply};
use crate::model::{RunId, Timestamp, WorkerId};
use crate::store::{ClaimedRun, Mark, RunImage, TakenOver, UnknownRun};

/// Every so many renewals of the lease a look for runs whose version is not here.
const STRAYS_EVERY: u32 = 4;
/// Pause between two pieces of a takeover.
const BETWEEN_PIECES: Duration = Duration::from_millis(10);

/// A task that ends with this.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Engine {
    /// Looks around as often as the lease is renewed, until the session is over.
    pub(super) async fn sweep(self: Arc<Self>, session: Arc<Session>) {
        let mut missing = HashSet::new();
        let mut said = String::new();
        let mut unknown = HashSet::new();
        let mut last: Option<Instant> = None;
        let mut unfinished = false;
        let mut ahead = HashMap::new();
        let strays = AbortOnDrop(tokio::spawn(self.clone().look_for_strays(session.clone())));
        while !session.is_lost() {
            tokio::select! {
                () = tokio::time::sleep(self.config.heartbeat) => {}
                () = session.lost() => break,
            }
            // Dead workers first, before anything that may be slow. A renewal tells at once that somebody died; the rest is for what
            // nobody tells, and has time.
            let told = session.others_expired();
            let due = last.is_none_or(|last| last.elapsed() >= SWEEP_ANYWAY);
            let ended = (due || !ahead.is_empty()) && self.end_leases_ahead(&session, &mut ahead).await;
            if told || due || unfinished || ended {
                unfinished = !self.take_over(&session).await;
            }
            self.remind_overdue().await;
            if due || !missing.is_empty() {
                self.find_lost_runs(&session, &mut missing).await;
            }
            if due {
                self.report_unserved(&mut said).await;
                self.report_unknown(&mut unknown).await;
                // A worker that is too young to judge others looks again soon.
                last = session.may_take_over().then(Instant::now);
            }
        }
        drop(strays);
    }

    /// Moves runs whose version is not here, now and then. Beside the sweep: replaying them takes its time.
    async fn look_for_strays(self: Arc<Self>, session: Arc<Session>) {
        let mut last = None;
        loop {
            tokio::time::sleep(self.config.heartbeat).await;
            self.move_strays(&session, &mut last).await;
            tokio::time::sleep(self.config.heartbeat * (STRAYS_EVERY - 1)).await;
        }
    }

    /// Frees the runs of workers whose lease expired; only after a full lease of unbroken renewals of its own, so
    /// that an outage of the database does not make every worker evict every other. `false` if some are left.
    async fn take_over(&self, session: &Session) -> bool {
        let mut all = TakenOver::default();
        while session.may_take_over() && !session.is_lost() {
            let taken = match self.store.take_over(session.worker).await {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, runs = all.runs, "could not look for dead workers; trying again");
                    return false;
                }
            };
            (all.workers, all.runs) = (all.workers + taken.workers, all.runs + taken.runs);
            if taken.runs > 0 {
                self.runs_are_ready();
            }
            if !taken.more {
                if all.runs > 0 || all.workers > 0 {
                    tracing::warn!(workers = all.workers, runs = all.runs, "took over the runs of dead workers");
                }
                return true;
            }
            tracing::info!(
                workers = all.workers,
                runs = all.runs,
                "taking over the runs of dead workers; there are more"
            );
            // Commits and claims wait for the same database.
            tokio::time::sleep(BETWEEN_PIECES).await;
        }
        all.runs == 0
    }

    /// Ends leases that lie further ahead than their own length and were not renewed for that long, by this process's monotonic clock:
    /// their workers renewed them while the clock was ahead, and died. Whether there were any.
    async fn end_leases_ahead(&self, session: &Session, ahead: &mut HashMap<WorkerId, (Timestamp, Instant)>) -> bool {
        let found = match self.store.leases_ahead(session.worker).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "could not look for leases in the future; trying again");
                return false;
            }
        };
        ahead.retain(|worker, (until, _)| found.iter().any(|lease| lease.worker == *worker && lease.until == *until));
        let mut ended = false;
        for lease in found {
            let (_, since) = *ahead.entry(lease.worker).or_insert((lease.until, Instant::now()));
            if since.elapsed() < lease.length || !session.may_take_over() {
                continue;
            }
            match self.store.end_lease(&lease).await {
                Ok(it_did) => {
                    ended |= it_did;
                    tracing::warn!(
                        worker = %lease.worker, until = %lease.until, length = ?lease.length,
                        "the lease of this worker ends later than its own length from now, and was not renewed for that long; the clock \
                         was ahead when it was renewed. It is treated as expired"
                    );
                }
                Err(error) => tracing::debug!(%error, "could not end a lease in the future; trying again"),
            }
        }
        ended
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
            Err(error) if error.is_passing() => {
                tracing::debug!(%error, "could not look for runs past their deadline; trying again");
            }
            Err(error) => tracing::warn!(%error, "could not remind runs that are past their deadline; trying again"),
        }
    }

    /// Runs that are this worker's in the database but not in memory, twice in a row: the next claim adopts them.
    async fn find_lost_runs(&self, session: &Session, missing: &mut HashSet<RunId>) {
        let owned = match self.store.owned_runs(session.worker).await {
            Ok(owned) => owned,
            Err(error) => return tracing::debug!(%error, "could not list this worker's runs"),
        };
        let now_missing: HashSet<_> = { owned.into_iter().filter(|run| !self.knows(*run)).collect() };
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

    /// Names runs whose rows this build does not know, each once: no claim chooses them, so nothing else would tell.
    async fn report_unknown(&self, said: &mut HashSet<RunId>) {
        let Ok(unknown) = self.store.unknown_runs().await else { return };
        said.retain(|run| unknown.iter().any(|it| it.run == *run));
        for UnknownRun { run, workflow, what } in unknown {
            if said.insert(run) {
                tracing::warn!(
                    %run, workflow, what,
                    "this build does not know the form of this run's row, which a newer build may have written; it is left as it is, for a \
                     worker of that build"
                );
            }
        }
    }

    /// Blocks a claimed run that cannot even begin.
    pub(super) async fn block(&self, session: &Session, run: &ClaimedRun, stuck: &Stuck, marks: Vec<Mark>) {
        // Without an answer whoever owns the run next finds the same.
        if self.write_image(session, run, blocked_image(run, stuck, &self.config), marks).await {
            self.waiters.tell(run.id, Some(Outcome::Blocked(stuck.clone())));
        }
    }

    /// Writes the image of a claimed run that has no turn, and marks on its mail; `false` if the lease is lost.
    pub(super) async fn write_image(
        &self,
        session: &Session,
        run: &ClaimedRun,
        image: RunImage,
        marks: Vec<Mark>,
    ) -> bool {
        self.write_row(session, run, image, Along { marks, ..Along::default() }).await
    }

    /// The same with whatever goes along.
    pub(super) async fn write_row(&self, session: &Session, run: &ClaimedRun, image: RunImage, along: Along) -> bool {
        let (reply, answered) = tokio::sync::oneshot::channel();
        session.submit(Item {
            run: run.id,
            claim_no: run.claim_no,
            birth: None,
            image: Some(image),
            writes: Vec::new(),
            along,
            reply: Reply::Start(reply),
            current: Arc::new(std::sync::atomic::AtomicBool::new(true)),
        });
        matches!(answered.await, Ok(Ok(())))
    }

    pub(super) fn left_behind_is_empty(&self) -> bool {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
