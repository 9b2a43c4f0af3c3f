//! Which migrations are still to be applied. Pure; each backend runs them in its own dialect and transaction.

use crate::store::StoreError;

/// One migration, embedded in the binary. The same number tells the same story in both dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Migration {
    /// From 1, without gaps.
    pub(super) version: i64,
    /// For people.
    pub(super) name: &'static str,
    /// One or more statements.
    pub(super) sql: &'static str,
}

/// The migrations of `known` (in order) that come after `newest_applied`.
///
/// # Errors
/// `SchemaTooNew` if the database was migrated by newer code; nothing may be touched then.
pub(super) fn pending(
    known: &'static [Migration],
    newest_applied: Option<i64>,
) -> Result<&'static [Migration], StoreError> {
    let newest_known = known.last().map_or(0, |migration| migration.version);
    let found = newest_applied.unwrap_or(0);
    if found > newest_known {
        return Err(StoreError::SchemaTooNew { found, known: newest_known });
    }
    Ok(&known[known.partition_point(|migration| migration.version <= found)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Migration] =
        &[Migration { version: 1, name: "runs", sql: "" }, Migration { version: 2, name: "more", sql: "" }];

    #[test]
    fn only_what_is_missing_is_applied() {
        assert_eq!(pending(KNOWN, None).unwrap(), KNOWN);
        assert_eq!(pending(KNOWN, Some(1)).unwrap(), &KNOWN[1..]);
        assert_eq!(pending(KNOWN, Some(2)).unwrap(), &[]);
    }

    #[test]
    fn a_schema_from_the_future_is_refused() {
        let error = pending(KNOWN, Some(3)).unwrap_err();
        assert!(matches!(error, StoreError::SchemaTooNew { found: 3, known: 2 }), "{error}");
    }
}
