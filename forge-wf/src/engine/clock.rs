//! The worker's estimate of the database's time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::model::Timestamp;
use crate::model::time::from_micros;

/// Estimates the database's clock from its answers to renewals. It decides nothing: due times are judged by the
/// database itself; this only dates entries and tells how long a wait is about to be.
pub struct DbClock {
    origin: Instant,
    offset: AtomicI64,
}

impl DbClock {
    /// A clock that was just told `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { origin: Instant::now(), offset: AtomicI64::new(now.timestamp_micros()) }
    }

    /// The database said `then` to a question asked at `asked`; half of the round trip counts as its way there.
    pub fn correct(&self, asked: Instant, then: Timestamp) {
        let trip = asked.elapsed() / 2;
        let local = (asked + trip).saturating_duration_since(self.origin);
        self.offset.store(then.timestamp_micros() - local.as_micros() as i64, Ordering::Relaxed);
    }

    /// About what the database's clock says.
    pub fn now(&self) -> Timestamp {
        from_micros(self.offset.load(Ordering::Relaxed) + self.origin.elapsed().as_micros() as i64)
    }
}
