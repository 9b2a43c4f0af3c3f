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

    /// The database said `then` to a question asked at `asked`, for the first time: half of the round trip counts as its way
    /// there.
    pub fn set(&self, asked: Instant, then: Timestamp) {
        let trip = asked.elapsed() / 2;
        self.offset.store(self.offset_at(asked + trip, then), Ordering::Relaxed);
    }

    /// The database said `then` to a question asked at `asked`. It was `then` at some moment between the question and this
    /// answer, however long that took: an estimate that contradicts this is moved to the nearest that does not.
    pub fn correct(&self, asked: Instant, then: Timestamp) {
        let (least, most) = (self.offset_at(Instant::now(), then), self.offset_at(asked, then));
        // Two answers may be judged at once; either is the truth.
        self.offset.store(self.offset.load(Ordering::Relaxed).clamp(least, most.max(least)), Ordering::Relaxed);
    }

    fn offset_at(&self, moment: Instant, then: Timestamp) -> i64 {
        then.timestamp_micros() - moment.saturating_duration_since(self.origin).as_micros() as i64
    }

    /// About what the database's clock says.
    pub fn now(&self) -> Timestamp {
        from_micros(self.offset.load(Ordering::Relaxed) + self.origin.elapsed().as_micros() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_moves_only_an_estimate_that_it_contradicts() {
        let clock = DbClock::new(from_micros(1_000_000_000));
        let before = clock.now();
        // An answer that was long on its way fits many estimates.
        let asked = clock.origin.checked_sub(Duration::from_secs(60)).unwrap_or(clock.origin);
        clock.correct(asked, before);
        assert!((clock.now() - before).num_milliseconds() < 1_000);
        // The database's clock was set forward, then back.
        let later = before + Duration::from_secs(3_600);
        clock.correct(Instant::now(), later);
        assert!((clock.now() - later).num_milliseconds().abs() < 1_000);
        clock.correct(Instant::now(), before);
        assert!((clock.now() - before).num_milliseconds().abs() < 1_000);
    }
}
