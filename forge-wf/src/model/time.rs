//! Points in time as the databases keep them: UTC, in whole microseconds.

use chrono::{DateTime, TimeZone, Utc};

/// A point in time on the database's clock, in UTC, exact to the microsecond.
pub type Timestamp = DateTime<Utc>;

/// The timestamp that lies `micros` microseconds after 1970-01-01 UTC; the nearest one chrono can say, if out of its range.
pub fn from_micros(micros: i64) -> Timestamp {
    Utc.timestamp_micros(micros).single().unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}
