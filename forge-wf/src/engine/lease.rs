//! Renews the worker's lease from a thread of its own, so that busy or blocked tasks cannot cost the lease.
//!
//! One heartbeat covers all runs. It stops while the engine's own tick has stalled: a worker that cannot execute
//! must not keep its runs from others.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::clock::DbClock;
use super::config::Config;
use super::session::Session;
use super::tick::Tick;
use crate::store::{Store, StoreError};

/// Renews until told to stop (by dropping the sender of `stop`) or until the lease is lost.
pub fn keep(
    store: &Arc<dyn Store>,
    session: &Session,
    config: &Config,
    clock: &DbClock,
    tick: &Tick,
    stop: &Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for the lease thread; the lease will be lost");
            return;
        }
    };
    let mut wait = config.heartbeat;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(wait) {
        if tick.since_last() > config.lease {
            tracing::error!(worker = %session.worker, "the engine's tick has stalled; the lease is not renewed");
            session.renewal_failed();
            continue;
        }
        let (asked, asked_wall) = (Instant::now(), SystemTime::now());
        match runtime.block_on(store.renew_lease(session.worker)) {
            Ok(renewal) => {
                clock.correct(asked, renewal.now);
                session.renewed(asked, asked_wall, renewal.others_expired);
                wait = config.heartbeat;
            }
            Err(StoreError::LeaseLost { .. }) => {
                tracing::warn!(worker = %session.worker, "this worker lost its lease; its turns are dropped");
                session.lose();
                return;
            }
            Err(error @ StoreError::CommitsLost { .. }) => return session.lose_commits(&error),
            Err(error) => {
                tracing::warn!(worker = %session.worker, %error, "the lease could not be renewed; trying again");
                session.renewal_failed();
                wait = (config.heartbeat / 5).max(Duration::from_millis(10));
            }
        }
    }
}
