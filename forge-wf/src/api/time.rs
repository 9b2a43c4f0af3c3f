//! Durations by their names, as in `ctx.sleep(hours(1))`.

use std::time::Duration;

use crate::model::Failure;
use crate::model::failure::TIME_OUT_OF_RANGE;

/// This many seconds.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// This many minutes; of more than a clock can count, as many as it can.
pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

/// This many hours; of more than a clock can count, as many as it can.
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3_600))
}

/// This many days of 24 hours; of more than a clock can count, as many as it can.
pub const fn days(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(86_400))
}

/// A number of seconds that came from outside, as JSON say, where it may be anything.
///
/// # Errors
/// `time_out_of_range` if it is negative, not a number, or more than a clock can count.
pub fn checked_seconds(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| {
        Failure::permanent(format!("{seconds} is no number of seconds to wait: {error}")).with_code(TIME_OUT_OF_RANGE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_duration_is_refused_in_words() {
        assert_eq!(checked_seconds(1.5).unwrap(), Duration::from_millis(1_500));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            let failure = checked_seconds(wrong).unwrap_err();
            assert_eq!(failure.code(), Some(TIME_OUT_OF_RANGE), "{failure}");
        }
        assert!(days(u64::MAX) > days(1));
    }
}
