//! The worker's estimate of the database's time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::model::Timestamp;
use crate::model::time::from_micros;

/// What two clocks may drift apart, in parts of a million: far more than quartz does.
const DRIFT_PPM: i64 = 200;

/// Estimates the database's clock from its answers to renewals. It decides nothing: due times are judged by the
/// database itself; this only dates entries and tells how long a wait is about to be.
///
/// Where the database is a file of this machine, its clock is the clock of this process, and nothing is estimated.
pub struct DbClock {
    origin: Instant,
    is_ours: bool,
    offset: AtomicI64,
    /// The largest offset that the answers allow, and when that was found, in microseconds since the origin.
    most: AtomicI64,
    most_at: AtomicI64,
}

/// The moment in which a timer begins.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the database's clock: not earlier than it is there, and later by no more than the estimate may be wrong.
    pub at: Timestamp,
    /// By the monotonic clock of this process.
    pub instant: Instant,
}

impl Moment {
    /// When a timer of this length may end, by the monotonic clock; `None` beyond its end.
    pub fn end(self, length: Duration) -> Option<Instant> {
        self.instant.checked_add(length)
    }
}

impl DbClock {
    /// A clock that was just told `now`; or the clock of this process, if that is the database's own.
    pub fn new(now: Timestamp, is_ours: bool) -> Self {
        let now = now.timestamp_micros();
        let (offset, most, most_at) = (AtomicI64::new(now), AtomicI64::new(now), AtomicI64::new(0));
        Self { origin: Instant::now(), is_ours, offset, most, most_at }
    }

    /// The database said `then` to a question asked at `asked`, for the first time: half of the round trip counts as its way
    /// there.
    pub fn set(&self, asked: Instant, then: Timestamp) {
        let trip = asked.elapsed() / 2;
        self.offset.store(self.offset_at(asked + trip, then), Ordering::Relaxed);
        self.set_most(self.offset_at(asked, then));
    }

    /// The database said `then` to a question asked at `asked`. It was `then` at some moment between the question and this
    /// answer, however long that took: an estimate that contradicts this is moved to the nearest that does not.
    pub fn correct(&self, asked: Instant, then: Timestamp) {
        let (least, most) = (self.offset_at(Instant::now(), then), self.offset_at(asked, then));
        // Two answers may be judged at once; either is the truth.
        self.offset.store(self.offset.load(Ordering::Relaxed).clamp(least, most.max(least)), Ordering::Relaxed);
        let drifted = (self.micros() - self.most_at.load(Ordering::Relaxed)) * DRIFT_PPM / 1_000_000 + 1;
        // Below the least, the database's clock was set forward.
        let known = Some(self.most.load(Ordering::Relaxed) + drifted).filter(|known| *known >= least);
        self.set_most(known.map_or(most, |known| known.min(most)));
    }

    fn set_most(&self, most: i64) {
        self.most.store(most, Ordering::Relaxed);
        self.most_at.store(self.micros(), Ordering::Relaxed);
    }

    fn offset_at(&self, moment: Instant, then: Timestamp) -> i64 {
        then.timestamp_micros() - moment.saturating_duration_since(self.origin).as_micros() as i64
    }

    fn micros(&self) -> i64 {
        self.origin.elapsed().as_micros() as i64
    }

    /// About what the database's clock says.
    pub fn now(&self) -> Timestamp {
        if self.is_ours {
            return from_micros(chrono::Utc::now().timestamp_micros());
        }
        from_micros(self.offset.load(Ordering::Relaxed) + self.micros())
    }

    /// This moment, for timers that begin in it.
    pub fn moment(&self) -> Moment {
        let instant = Instant::now();
        let at = match self.is_ours {
            true => self.now(),
            false => self.now().max(from_micros(self.most.load(Ordering::Relaxed) + self.micros())),
        };
        Moment { at, instant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_begins_no_earlier_than_the_database_says() {
        let mut clock = DbClock::new(from_micros(1_000_000_000), false);
        clock.origin = clock.origin.checked_sub(Duration::from_secs(2)).unwrap_or(clock.origin);
        // The database may have read its clock at once, and the answer may have been on its way for a second.
        let asked = clock.origin + Duration::from_secs(1);
        let then = from_micros(2_000_000_000);
        let elapsed = asked.elapsed();
        clock.set(asked, then);
        assert!(clock.moment().at >= then + elapsed - Duration::from_millis(1));
        // A quick answer says more; then the database's clock is set forward, and back.
        for then in [then, then + Duration::from_secs(3_600), then] {
            let asked = Instant::now();
            clock.correct(asked, then);
            let moment = clock.moment().at;
            assert!(moment >= then && moment <= then + asked.elapsed() + Duration::from_millis(1), "{moment} {then}");
        }
    }

    #[test]
    fn where_the_clock_is_ours_no_answer_moves_it() {
        let clock = DbClock::new(from_micros(1_000_000_000), true);
        clock.set(Instant::now(), from_micros(5));
        clock.correct(Instant::now(), from_micros(5));
        let before = chrono::Utc::now().timestamp_micros();
        let (now, moment) = (clock.now(), clock.moment().at);
        assert!(now.timestamp_micros() >= before && moment >= now);
    }

    #[test]
    fn an_answer_moves_only_an_estimate_that_it_contradicts() {
        let clock = DbClock::new(from_micros(1_000_000_000), false);
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
