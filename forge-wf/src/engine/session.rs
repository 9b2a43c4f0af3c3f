//! One registration of this process as a worker: its id, its lanes, and whether its lease is still good.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::config::DATABASE_RETRY;
use super::pauses::Pauses;
use super::writer::Item;
use crate::model::WorkerId;
use crate::model::panic::caught;
use crate::store::StoreError;

/// One registration of this process as a worker. A lost lease ends it; the process then registers anew, under
/// another id, so that nothing of the old life can be mistaken for the new one.
pub struct Session {
    /// The worker's id.
    pub worker: WorkerId,
    lanes: RwLock<Vec<mpsc::UnboundedSender<Item>>>,
    lease: Duration,
    lost: AtomicBool,
    /// Whether it is lost because the database lost commits; then the worker's row is still there.
    commits_lost: AtomicBool,
    /// Whether it is lost because a part of it panicked; the worker's row is still there then, too.
    panicked: AtomicBool,
    lost_notify: Notify,
    /// Number of the last claim that was begun.
    pub claim_no: AtomicI64,
    renewal: Mutex<Renewal>,
    others_expired: AtomicBool,
}

struct Renewal {
    asked: Instant,
    asked_wall: SystemTime,
    unbroken_since: Instant,
}

impl Session {
    /// A session whose lease was granted in answer to a question asked at `asked`.
    pub fn new(worker: WorkerId, lanes: Vec<mpsc::UnboundedSender<Item>>, lease: Duration, asked: Instant) -> Self {
        let renewal = Renewal {
            asked,
            asked_wall: SystemTime::now().checked_sub(asked.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
            unbroken_since: asked,
        };
        Self {
            worker,
            lanes: RwLock::new(lanes),
            lease,
            lost: AtomicBool::new(false),
            commits_lost: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            lost_notify: Notify::new(),
            claim_no: AtomicI64::new(0),
            renewal: Mutex::new(renewal),
            others_expired: AtomicBool::new(false),
        }
    }

    /// Queues an item on its run's lane. A run keeps its lane, hence its order.
    pub fn submit(&self, item: Item) {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        match lanes.get((item.run.0.as_u128() % lanes.len().max(1) as u128) as usize) {
            Some(lane) => {
                if let Err(unsent) = lane.send(item) {
                    unsent.0.lost();
                }
            }
            // The session is over.
            None => item.lost(),
        }
    }

    /// Closes the lanes: their writers end once they have written what is queued.
    pub fn close(&self) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The lease was extended in answer to a question asked at `asked` (and at `asked_wall` on the wall clock).
    pub fn renewed(&self, asked: Instant, asked_wall: SystemTime, others_expired: bool) {
        self.others_expired.store(others_expired, Ordering::Release);
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        (renewal.asked, renewal.asked_wall) = (asked, asked_wall);
    }

    /// Whether the last renewal saw another worker whose lease had expired.
    pub fn others_expired(&self) -> bool {
        self.others_expired.load(Ordering::Acquire)
    }

    /// A renewal failed: the time of unbroken renewals starts again.
    pub fn renewal_failed(&self) {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner).unbroken_since = Instant::now();
    }

    /// Whether the lease is certainly still good. Asked by the monotonic clock, which stands still while some
    /// machines sleep, and by the wall clock, which does not but may be set.
    pub fn is_fresh(&self) -> bool {
        let renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = SystemTime::now().duration_since(renewal.asked_wall).unwrap_or_default();
        !self.is_lost() && renewal.asked.elapsed() < self.lease && wall < self.lease
    }

    /// Whether this worker has renewed without a break for a whole lease, so that it may judge others.
    pub fn may_take_over(&self) -> bool {
        let renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        renewal.unbroken_since.elapsed() >= self.lease && renewal.asked.elapsed() < self.lease
    }

    /// The lease is gone.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.lost_notify.notify_waiters();
    }

    /// The database no longer holds what it had acknowledged, so what the turns know is not what the journals say.
    pub fn lose_commits(&self, error: &StoreError) {
        if !self.commits_lost.swap(true, Ordering::AcqRel) {
            tracing::error!(worker = %self.worker, %error, "all turns are dropped; their runs continue from the journals as they are");
        }
        self.lose();
    }

    /// Whether the lease is gone because the database lost commits.
    pub fn has_lost_commits(&self) -> bool {
        self.commits_lost.load(Ordering::Acquire)
    }

    /// Executes a part of the session in a task of its own. Without that part the session is no use: if it panics, the worker has to
    /// register anew.
    pub fn spawn(
        self: &Arc<Self>,
        part: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let session = self.clone();
        tokio::spawn(async move {
            if let Err(panic) = caught(work).await {
                session.part_panicked(part, &panic);
            }
        })
    }

    /// A part of the session has panicked.
    pub fn part_panicked(&self, part: &'static str, panic: &str) {
        tracing::error!(
            worker = %self.worker, part, panic,
            "a part of this worker panicked, which is a fault in forge-wf; all turns are dropped, and the worker registers anew"
        );
        self.panicked.store(true, Ordering::Release);
        self.lose();
    }

    /// Whether the lease is gone because a part of the session panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }

    /// Whether the lease is gone.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Returns once the lease is gone.
    pub async fn lost(&self) {
        let mut notified = std::pin::pin!(self.lost_notify.notified());
        notified.as_mut().enable();
        if !self.is_lost() {
            notified.await;
        }
    }

    /// Repeats a call until the database answers; `None` if the lease is lost first. An error that it does not explain is no
    /// answer.
    pub async fn until_answered<T, F>(&self, what: &str, call: impl FnMut() -> F) -> Option<Result<T, StoreError>>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let is_answer = |error: &StoreError| !error.is_passing() && !matches!(error, StoreError::Unexplained { .. });
        self.until(is_answer, what, call).await
    }

    /// Repeats a call until it succeeds or its error is an answer; `None` if the lease is lost first.
    pub async fn until<T, F>(
        &self,
        is_answer: impl Fn(&StoreError) -> bool,
        what: &str,
        mut call: impl FnMut() -> F,
    ) -> Option<Result<T, StoreError>>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pauses = Pauses::new(DATABASE_RETRY);
        loop {
            match call().await {
                Err(error) if !is_answer(&error) => {
                    tracing::warn!(worker = %self.worker, %error, "{what} had no answer; sending it again");
                    tokio::time::sleep(pauses.take()).await;
                }
                answer => return Some(answer),
            }
            if self.is_lost() {
                return None;
            }
        }
    }
}
