//! Points in time as PostgreSQL sends them.
//!
//! Its range is wider than chrono's, and it knows `infinity`: the driver panics at such a value, wherever it stands. Here it becomes the
//! first or the last point in time that chrono can say. A row that holds one is strange, and keeps no other from being read.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Row, Type};

use crate::model::Timestamp;
use crate::model::time::from_micros;

/// A `timestamptz`; every one is read as this.
struct Time(Timestamp);

/// 2000-01-01 UTC, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        <Timestamp as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(from_micros(micros.saturating_add(POSTGRES_EPOCH))))
    }
}

/// The point in time in this column.
pub(super) fn time(row: &PgRow, column: usize) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<Time, _>(column).map(|time| time.0)
}

/// The same, where there may be none.
pub(super) fn time_or_none(row: &PgRow, column: usize) -> Result<Option<Timestamp>, sqlx::Error> {
    row.try_get::<Option<Time>, _>(column).map(|time| time.map(|time| time.0))
}
