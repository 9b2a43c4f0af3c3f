//! When a failed attempt is followed by another: policy and attempt in, a wait or "give up" out. Pure.

use std::time::Duration;

/// How often a step is tried, and how long it waits between attempts.
///
/// The wait before attempt `k + 1` is `first * 2^(k - 1)`, at most `longest`, made up to `jitter` (a share of itself)
/// shorter at random so that runs which failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub max: u32,
    /// The wait before the second attempt.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// The share of a wait that is left to chance, 0 to 1.
    pub jitter: f64,
}

impl Retry {
    /// The default wait before the second attempt.
    pub const FIRST_DEFAULT: Duration = Duration::from_millis(200);
    /// The default longest wait.
    pub const LONGEST_DEFAULT: Duration = Duration::from_secs(30);
    /// The default jitter.
    pub const JITTER_DEFAULT: f64 = 0.2;

    /// `max` attempts in all (0 counts as 1), with waits from 200 ms to 30 s and a jitter of 0.2.
    pub const fn new(max: u32) -> Self {
        Self {
            max: if max == 0 { 1 } else { max },
            first: Self::FIRST_DEFAULT,
            longest: Self::LONGEST_DEFAULT,
            jitter: Self::JITTER_DEFAULT,
        }
    }

    /// The same policy with these waits.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// The same policy with this jitter, kept within 0 and 1; NaN counts as 0.
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
        self
    }

    /// How long to wait after attempt `attempt` (from 1) failed, or `None` to give up.
    ///
    /// `at_least` is what the failure itself asked for; `chance` a random number from 0 (inclusive) to 1.
    pub fn wait_after(&self, attempt: u32, at_least: Option<Duration>, chance: f64) -> Option<Duration> {
        if attempt >= self.max {
            return None;
        }
        let doubled = self.first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(self.longest);
        // What the fields hold may be no share, and the longest durations round up to more than one can be.
        let share = 1.0 - self.jitter * chance.clamp(0.0, 1.0);
        let wait = Duration::try_from_secs_f64(wait.as_secs_f64() * share).map_or(wait, |shorter| shorter.min(wait));
        Some(wait.max(at_least.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry::new(5).backoff(Duration::from_millis(100), Duration::from_millis(350)).jitter(0.5);

    #[test]
    fn waits_double_up_to_the_longest_and_then_it_gives_up() {
        let waits: Vec<_> = (1..=5).map(|attempt| POLICY.wait_after(attempt, None, 0.0)).collect();
        let millis = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [millis(100), millis(200), millis(350), millis(350), None]);
    }

    #[test]
    fn jitter_only_shortens_and_a_failure_may_ask_for_more() {
        assert_eq!(POLICY.wait_after(1, None, 1.0), Some(Duration::from_millis(50)));
        assert_eq!(POLICY.wait_after(1, Some(Duration::from_secs(9)), 0.5), Some(Duration::from_secs(9)));
    }

    #[test]
    fn huge_attempt_numbers_do_not_overflow() {
        let policy = Retry { max: u32::MAX, ..POLICY };
        assert_eq!(policy.wait_after(4_000_000_000, None, 0.0), Some(policy.longest));
    }

    #[test]
    fn neither_the_longest_wait_nor_an_odd_jitter_panics() {
        let endless = Retry::new(2).backoff(Duration::MAX, Duration::MAX);
        assert_eq!(endless.jitter(0.0).wait_after(1, None, 0.0), Some(Duration::MAX));
        for jitter in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 7.0] {
            assert!(Retry { jitter, ..POLICY }.wait_after(1, None, 0.9) <= Some(POLICY.first), "{jitter}");
        }
    }
}
