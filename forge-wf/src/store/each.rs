//! Loads journals together, and one by one if that fails.

use super::{Journal, Store, StoreError};
use crate::model::RunId;

/// The journals of these generations, in the order asked for. If they cannot be loaded together, each is loaded by itself, so that one
/// that cannot be read hides no other.
///
/// # Errors
/// None of them can be loaded: the database is at fault, as far as is known.
pub async fn load_each(
    store: &dyn Store,
    runs: &[(RunId, i32)],
) -> Result<Vec<Result<Journal, StoreError>>, StoreError> {
    let error = match store.load_journals(runs).await {
        Ok(journals) => return Ok(journals.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    let mut loaded = Vec::with_capacity(runs.len());
    for run in runs {
        let journals = store.load_journals(std::slice::from_ref(run)).await;
        loaded.push(journals.and_then(|mut journals| {
            journals
                .pop()
                .ok_or_else(|| StoreError::Corrupt { what: format!("the journal of run {} is not there", run.0) })
        }));
    }
    // A row that was read and makes no sense accuses nothing but itself.
    let of_the_row = |error: &StoreError| matches!(error, StoreError::Corrupt { .. } | StoreError::Unknown { .. });
    let of_the_database = loaded.iter().all(|one| one.as_ref().is_err_and(|error| !of_the_row(error)));
    if of_the_database { Err(error) } else { Ok(loaded) }
}
