//! The life of a worker: register, serve, and either register anew after a lost lease or drain and go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, mpsc as sync_mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::config::{DATABASE_RETRY, FOR_EVER};
use super::lane::LaneWriter;
use super::pauses::Pauses;
use super::session::Session;
use super::tick::Tick;
use super::turn::Message;
use super::{Engine, lease};
use crate::model::panic::panic_message;
use crate::model::{Lane, WorkerId};
use crate::store::{NewWorker, StoreError};

/// How long after the grace time a worker that was told to go is gone, whatever the database does. Each part of its end has until then
/// at the latest, and the parts before leave some of it to those that follow.
pub const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long a claim that is under way may take once the worker was told to go. What it takes goes with the worker's row.
const LAST_CLAIM: Duration = Duration::from_secs(1);
/// How long after the grace time turns may take to leave whose steps were aborted.
const ABORTED: Duration = Duration::from_secs(2);
/// How long after the grace time the last writes may take.
const LAST_WRITES: Duration = Duration::from_millis(3_500);
/// Pause before a worker registers anew of which a part panicked: the first, doubling up to the second.
const AFTER_PANIC: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long the last writes of a session may take that ended by itself, without a shutdown.
const LANES_END: Duration = Duration::from_secs(5);
/// How often to look whether the thread of the lease has ended.
const LOOK_AT_LEASE: Duration = Duration::from_millis(5);

/// A session and the tasks that serve it.
pub struct Life {
    session: Arc<Session>,
    lanes: Vec<JoinHandle<()>>,
    lease: std::thread::JoinHandle<()>,
    /// Dropping it ends the lease thread.
    keep_lease: sync_mpsc::Sender<()>,
}

impl Engine {
    /// Registers this process as a worker and starts to renew its lease.
    ///
    /// # Errors
    /// The database did not accept it. Calling it again is safe: every registration is a new worker.
    pub async fn register(self: &Arc<Self>) -> Result<Life, StoreError> {
        let worker = NewWorker {
            id: WorkerId::new(),
            name: format!("{}:{}", host(), std::process::id()),
            build: self.config.build.clone(),
            lease: self.config.lease,
            definitions: self.registry.definitions(),
            offers: self.offers.to_vec(),
        };
        let asked = Instant::now();
        let now = self.store.register_worker(&worker).await?;
        self.clock.set(asked, now);
        self.tick.beat();
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..self.store.commit_lanes().max(1)).map(|_| mpsc::unbounded_channel()).unzip();
        let session = Arc::new(Session::new(worker.id, senders, self.config.lease, asked));
        let lanes = receivers
            .into_iter()
            .zip(1..)
            .map(|(queue, lane)| {
                session.spawn("lane", LaneWriter::new(self.store.clone(), session.clone(), Lane(lane)).run(queue))
            })
            .collect();
        let (keep_lease, stop) = sync_mpsc::channel();
        let (engine, leased) = (self.clone(), session.clone());
        let lease = std::thread::Builder::new()
            .name("forge-wf-lease".into())
            .spawn(move || {
                let keep = || lease::keep(&engine.store, &leased, &engine.config, &engine.clock, &engine.tick, &stop);
                if let Err(panic) = catch_unwind(AssertUnwindSafe(keep)) {
                    leased.part_panicked("lease", panic_message(&*panic));
                }
            })
            .map_err(|error| StoreError::Misconfigured { what: format!("no thread for the lease: {error}") })?;
        // What an earlier session left behind is not this one's: it owns nothing yet, and may sign off as it goes.
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.mailroom().session_begins();
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clear();
        tracing::info!(worker = %worker.id, build = %worker.build, "registered");
        self.set_session(Some(session.clone()));
        Ok(Life { session, lanes, lease, keep_lease })
    }

    /// Serves until drained, registering anew after every lost lease.
    pub async fn serve(self: Arc<Self>, mut life: Life) {
        let pulse = tokio::spawn(beat(self.clone()));
        let mut again = Pauses::new(AFTER_PANIC);
        loop {
            let session = life.session.clone();
            let helpers = [
                session.spawn("sweep", self.clone().sweep(session.clone())),
                session.spawn("mail", self.clone().deliver_mail(session.clone())),
                session.spawn("look", self.clone().answer_turns(session.clone())),
                session.spawn("hints", self.clone().take_hints(session.clone())),
            ];
            let hints = session.spawn("own hints", self.clone().give_hints());
            // Of what came before this session nobody has told it.
            self.look();
            // A claim without an answer must not hold up a shutdown. What it took goes with this worker's row.
            let mut claims = session.spawn("claims", self.clone().claim_until_over(session.clone()));
            tokio::select! {
                _ = &mut claims => {}
                () = self.drained_for(LAST_CLAIM) => claims.abort(),
            }
            // Store calls run in tasks of their own, so none is cut off here.
            helpers.iter().for_each(JoinHandle::abort);
            if session.is_lost() {
                self.tell_all(|| Message::Lost);
                let _ = self.unless_drained_for(ABORTED, self.turns_have_left(self.config.grace * 2)).await;
            } else {
                self.drain_turns().await;
            }
            let clean = self.turns().is_empty() && self.left_behind_is_empty();
            self.set_session(None);
            self.end(life).await;
            // Not before: while it drains, others shall hear of what it gives back.
            hints.abort();
            if !session.is_lost() && clean {
                // Without an answer the lease runs out by itself.
                match self.unless_drained_for(LAST_ANSWER, self.store.remove_worker(session.worker)).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        tracing::warn!(worker = %session.worker, %error, "could not sign off; others wait for the lease");
                    }
                    None => {
                        tracing::warn!(worker = %session.worker, "no answer to the sign-off; others wait for the lease")
                    }
                }
            }
            // What this worker gave back is for others now, and its own hints have ended with it.
            let _ = self.unless_drained_for(LAST_ANSWER, self.store.send_hint()).await;
            if self.is_draining() {
                break;
            }
            if session.has_panicked() {
                // It may do so again at once.
                tokio::select! {
                    () = tokio::time::sleep(again.take()) => {}
                    () = self.drained_for(Duration::ZERO) => {}
                }
            } else {
                again.start_again();
            }
            match self.register_patiently().await {
                Some(next) => life = next,
                None => break,
            }
            if session.has_lost_commits() || session.has_panicked() {
                tokio::spawn(self.clone().remove_former(session.worker));
            }
        }
        pulse.abort();
    }

    /// Removes what is left of a session that ended while its lease was good, so that its runs wait for no lease.
    /// Beside the new session, since that may take a while; until the former lease is over, since others take over then.
    async fn remove_former(self: Arc<Self>, worker: WorkerId) {
        let (since, mut pauses) = (Instant::now(), Pauses::new(DATABASE_RETRY));
        while since.elapsed() < self.config.lease {
            match self.unless_drained_for(LAST_ANSWER, self.store.remove_worker(worker)).await {
                None => return,
                Some(Ok(())) => return self.runs_are_ready(),
                Some(Err(error)) => {
                    tracing::warn!(%worker, %error, "the former worker could not be removed; trying again until its lease is over");
                }
            }
            tokio::time::sleep(pauses.take()).await;
        }
    }

    /// Registers, whatever it takes; `None` once drained.
    async fn register_patiently(self: &Arc<Self>) -> Option<Life> {
        loop {
            // A registration that nobody waits for any more ends with its lease.
            let registered = tokio::select! {
                registered = self.register() => registered,
                () = self.drained_for(Duration::ZERO) => return None,
            };
            match registered {
                Ok(life) => return Some(life),
                Err(error) => tracing::error!(%error, "this process could not register as a worker; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = self.nudge.notified() => {}
            }
            if self.is_draining() {
                return None;
            }
        }
    }

    /// Lets running steps finish within the grace time, then aborts them and releases their runs.
    async fn drain_turns(&self) {
        self.tell_all(|| Message::Drain);
        if self.unless_drained_for(Duration::ZERO, self.turns_have_left(FOR_EVER)).await.is_none() {
            self.tell_all(|| Message::Abort);
            if self.unless_drained_for(ABORTED, self.turns_have_left(FOR_EVER)).await.is_none() {
                let runs: Vec<_> = self.turns().keys().map(ToString::to_string).collect();
                tracing::error!(
                    runs = runs.join(", "),
                    "these runs could not be released in time: their steps have not ended, or the database does not answer; they \
                     are left to the end of the lease"
                );
            }
        }
    }

    /// Whether all turns have left within this time.
    async fn turns_have_left(&self, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let mut left = std::pin::pin!(self.turn_left.notified());
            left.as_mut().enable();
            if self.turns().is_empty() {
                return true;
            }
            if tokio::time::timeout_at(deadline, left).await.is_err() {
                return false;
            }
        }
    }

    /// Returns this long after the worker was told to drain.
    async fn drained_for(&self, patience: Duration) {
        let mut told = self.told_to_drain.subscribe();
        // The sender lives as long as the engine.
        let at = told.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        match at.and_then(|at| at.checked_add(patience)) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What `work` gives; `None` as soon as the worker was told to drain for the grace time and this long. Store calls run in tasks of
    /// their own, so none is cut off half-way.
    pub(super) async fn unless_drained_for<T>(
        &self,
        beyond_grace: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.drained_for(self.config.grace.saturating_add(beyond_grace)) => None,
        }
    }

    async fn end(&self, life: Life) {
        life.session.close();
        let until = tokio::time::Instant::now() + LANES_END;
        for mut lane in life.lanes {
            let written = self.unless_drained_for(LAST_WRITES, tokio::time::timeout_at(until, &mut lane)).await;
            let ended = match written {
                Some(Ok(ended)) => ended,
                Some(Err(_)) | None => {
                    if !life.session.is_lost() {
                        tracing::error!(
                            "the database does not answer; what is not written is left to the end of the lease"
                        );
                    }
                    life.session.lose();
                    self.tell_all(|| Message::Lost);
                    // Its last write goes on in a task of its own, and nothing follows it.
                    match self.unless_drained_for(LAST_WRITES, lane).await {
                        Some(ended) => ended,
                        None => continue,
                    }
                }
            };
            if let Err(error) = ended {
                tracing::error!(%error, "a writer lane ended badly");
            }
        }
        drop(life.keep_lease);
        // The thread may be in the middle of a renewal. It keeps nothing from ending: not even the process waits for it.
        let ended = async {
            while !life.lease.is_finished() {
                tokio::time::sleep(LOOK_AT_LEASE).await;
            }
        };
        let _ = self.unless_drained_for(LAST_WRITES, ended).await;
    }
}

async fn beat(engine: Arc<Engine>) {
    // More often than the lease thread looks, however short the lease is.
    let mut every = tokio::time::interval(Tick::EVERY.min(engine.config.heartbeat));
    loop {
        every.tick().await;
        engine.tick.beat();
    }
}

fn host() -> String {
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "worker".into())
}
