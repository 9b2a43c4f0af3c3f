//! The next due time, and hints in and out.
//!
//! A hint says that something may have changed; it is never the truth, and everything works without, only slower. Inside a
//! process they are notifies; between processes the store carries them, and never inside a commit of a lane.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::futures::Notified;

use super::Engine;
use super::config::{DATABASE_RETRY, LOOK_ANYWAY};
use super::pauses::Pauses;
use super::session::Session;
use crate::model::Timestamp;

/// Pause after a hint to others: what comes up meanwhile shares the next one.
const HINT_PAUSE: Duration = Duration::from_millis(5);
/// Pause before this worker listens again after the database gave no answer: the first, doubling up to the second.
const LISTEN_PAUSE: (Duration, Duration) = (DATABASE_RETRY.0, Duration::from_secs(5));
/// Shortest wait for a due time: two clocks never agree to the last microsecond.
const SHORTEST: Duration = Duration::from_millis(1);

impl Engine {
    /// There may be something to claim, and mail.
    pub(super) fn look(&self) {
        self.nudge();
        self.mail.notify_one();
        self.stirred.notify_waiters();
    }

    /// Completes once something may have changed since this was called: a hint has come, or this process has sent mail.
    pub fn stirs(&self) -> Notified<'_> {
        self.stirred.notified()
    }

    /// A program in this process has written something for a run, wherever that is.
    pub fn announce(&self) {
        self.look();
        self.hint_others();
    }

    /// Something is ready that any worker may take: this one looks, and so do others if this one cannot take it.
    pub(super) fn runs_are_ready(&self) {
        self.nudge();
        if !self.has_room() || self.is_draining() {
            self.hint_others();
        }
    }

    /// A run is due then.
    pub(super) fn run_is_due(&self, due: Timestamp) {
        let mut next = self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| due < next) {
            *next = Some(due);
            self.rescheduled.notify_one();
        }
    }

    /// A claim is about to find out.
    pub(super) fn forget_next_due(&self) {
        *self.next_due.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long until a run is due or it is time to look anyway.
    pub(super) fn until_next_look(&self) -> Duration {
        let next = *self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        let anyway = self.look_anyway();
        match next {
            Some(due) => (due - self.clock.now()).to_std().unwrap_or_default().max(SHORTEST).min(anyway),
            None => anyway,
        }
    }

    /// How often to look without being told to.
    pub(super) fn look_anyway(&self) -> Duration {
        let hinted = self.config.notifications && self.hears_hints.load(Ordering::Acquire);
        if hinted { self.config.poll.max(LOOK_ANYWAY) } else { self.config.poll }
    }

    /// Other workers should look: for a run this one has no room for, or mail for a run it does not have. Also from a worker
    /// that takes no hints, since others may, and every connection can carry one.
    pub(super) fn hint_others(&self) {
        self.hint_wanted.notify_one();
    }

    /// Passes hints of other processes on, until the session is over. Hints of the time between two calls may be lost with a
    /// connection, so whatever the answer is, everything is looked at once.
    pub(super) async fn take_hints(self: Arc<Self>, session: Arc<Session>) {
        let mut pauses = Pauses::new(LISTEN_PAUSE);
        while self.config.notifications && !session.is_lost() {
            let heard = self.store.wait_for_hint().await;
            self.hears_hints.store(heard.is_ok(), Ordering::Release);
            // Also without a hint: the loops that sleep by the long interval are to take up the short one.
            self.look();
            if let Err(error) = heard {
                tracing::debug!(%error, "no hints from the database; looking more often instead");
                tokio::time::sleep(pauses.take()).await;
            } else {
                pauses.start_again();
            }
        }
    }

    /// Gives hints to other processes, many wishes at a time, until it is aborted.
    pub(super) async fn give_hints(self: Arc<Self>) {
        loop {
            self.hint_wanted.notified().await;
            if let Err(error) = self.store.send_hint().await {
                tracing::debug!(%error, "a hint could not be given; others look by themselves");
            }
            tokio::time::sleep(HINT_PAUSE).await;
        }
    }
}
