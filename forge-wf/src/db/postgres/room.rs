//! Who gets a connection where the server or the role has room for fewer than the store may open.
//!
//! **Invariant: the pool takes what the lines leave.** The lanes, the lease and the listener cannot do without their connection. One that
//! finds no room says so until it has one; meanwhile the pool of its store closes what nobody uses, keeps nothing that is given back,
//! and opens nothing. Guarded by `a_worker_whose_role_has_few_connections_serves_again_after_an_outage`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::connections::Shared;
use super::error::FEW;

/// The room of one store.
pub(super) struct Room {
    pool: OnceLock<Weak<Shared>>,
    /// How many lines are without a connection because there is no room.
    lacking: watch::Sender<usize>,
    /// Whether the log says already that there is too little room.
    warned: AtomicBool,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { pool: OnceLock::new(), lacking: watch::Sender::new(0), warned: AtomicBool::new(false) }
    }

    /// This is the pool that makes room for the lines.
    pub(super) fn is_shared_by(&self, pool: Weak<Shared>) {
        let _ = self.pool.set(pool);
    }

    /// A line found no room. The pool makes room until the answer is dropped.
    pub(super) fn lack(&self) -> Lacking<'_> {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "PostgreSQL refuses a connection that this worker cannot do without, so its pool gives connections back; {FEW}"
            );
        }
        // Before the pool is asked: what is given back to it from now on is not kept.
        self.lacking.send_modify(|lines| *lines += 1);
        for link in self.pool.get().and_then(Weak::upgrade).map(|pool| pool.take_idle()).unwrap_or_default() {
            tokio::spawn(link.close());
        }
        Lacking(self)
    }

    /// Whether a line is without a connection.
    pub(super) fn is_lacking(&self) -> bool {
        *self.lacking.borrow() > 0
    }

    /// Waits until no line is without a connection, at most for so long.
    pub(super) async fn until_enough(&self, wait: Duration) {
        let mut lacking = self.lacking.subscribe();
        let _ = timeout(wait, lacking.wait_for(|lines| *lines == 0)).await;
    }
}

/// A line without a connection.
pub(super) struct Lacking<'r>(&'r Room);

impl Drop for Lacking<'_> {
    fn drop(&mut self) {
        self.0.lacking.send_modify(|lines| *lines -= 1);
    }
}
