//! The life of a worker: register, serve, and either register anew after a lost lease or drain and go.

use std::sync::{Arc, PoisonError, mpsc as sync_mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::session::Session;
use super::tick::Tick;
use super::turn::Message;
use super::writer::LaneWriter;
use super::{Engine, lease};
use crate::model::{Lane, WorkerId};
use crate::store::{NewWorker, StoreError};

/// How long a worker that goes waits for the last answers of a database that gives none.
const LAST_ANSWER: Duration = Duration::from_secs(5);

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
                tokio::spawn(LaneWriter::new(self.store.clone(), session.clone(), Lane(lane)).run(queue))
            })
            .collect();
        let (keep_lease, stop) = sync_mpsc::channel();
        let (engine, leased) = (self.clone(), session.clone());
        let lease = std::thread::Builder::new()
            .name("forge-wf-lease".into())
            .spawn(move || lease::keep(&engine.store, &leased, &engine.config, &engine.clock, &engine.tick, &stop))
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
        loop {
            let helpers = [
                tokio::spawn(self.clone().sweep(life.session.clone())),
                tokio::spawn(self.clone().deliver_mail(life.session.clone())),
                tokio::spawn(self.clone().answer_turns(life.session.clone())),
                tokio::spawn(self.clone().take_hints(life.session.clone())),
            ];
            let hints = tokio::spawn(self.clone().give_hints());
            // Of what came before this session nobody has told it.
            self.look();
            // A claim without an answer must not hold up a shutdown. What it took goes with this worker's row.
            tokio::select! {
                () = self.claim_until_over(&life.session) => {}
                () = self.drained_for(LAST_ANSWER) => {}
            }
            // Store calls run in tasks of their own, so none is cut off here.
            helpers.iter().for_each(JoinHandle::abort);
            let session = life.session.clone();
            if session.is_lost() {
                self.tell_all(|| Message::Lost);
                self.turns_have_left(self.config.grace * 2).await;
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
                if let Err(error) = self.store.remove_worker(session.worker).await {
                    tracing::warn!(worker = %session.worker, %error, "could not sign off; others wait for the lease");
                }
            }
            // What this worker gave back is for others now, and its own hints have ended with it.
            let _ = self.store.send_hint().await;
            if self.is_draining() {
                break;
            }
            match self.register_patiently().await {
                Some(next) => life = next,
                None => break,
            }
            if session.has_lost_commits() {
                self.remove_former(session.worker).await;
            }
        }
        pulse.abort();
    }

    /// Removes what is left of a session whose commits the database lost, so that its runs wait for no lease.
    async fn remove_former(&self, worker: WorkerId) {
        match self.store.remove_worker(worker).await {
            Ok(()) => self.runs_are_ready(),
            Err(error) => {
                tracing::warn!(%worker, %error, "the former worker could not be removed; its runs wait for the end of its lease");
            }
        }
    }

    /// Registers, whatever it takes; `None` once drained.
    async fn register_patiently(self: &Arc<Self>) -> Option<Life> {
        loop {
            match self.register().await {
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
        if !self.turns_have_left(self.config.grace).await {
            self.tell_all(|| Message::Abort);
            self.turns_have_left(self.config.grace + Duration::from_secs(5)).await;
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
        self.told_to_drain.notified().await;
        tokio::time::sleep(patience).await;
    }

    async fn end(&self, life: Life) {
        life.session.close();
        let until = tokio::time::Instant::now() + LAST_ANSWER;
        for mut lane in life.lanes {
            let ended = match tokio::time::timeout_at(until, &mut lane).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::error!(
                        "the database does not answer; what is not written is left to the end of the lease"
                    );
                    life.session.lose();
                    self.tell_all(|| Message::Lost);
                    lane.await
                }
            };
            if let Err(error) = ended {
                tracing::error!(%error, "a writer lane ended badly");
            }
        }
        drop(life.keep_lease);
        // The thread may be in the middle of a renewal, but never for longer than the database takes to answer.
        let _ = tokio::task::spawn_blocking(move || life.lease.join()).await;
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
