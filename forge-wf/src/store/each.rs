//! Loads journals together, and one by one if that fails.

use super::{Journal, Store, StoreError};
use crate::model::RunId;

/// After so many in a row that cannot be loaded, and none that can, the database is at fault, as far as is known.
pub const BAD_IN_A_ROW: usize = 3;

/// The journals of these generations, in the order asked for: as many from the first on as fit in `bytes` together, and at least one.
/// If they cannot be loaded together, each is loaded by itself, so that one that cannot be read hides no other. If none of the first
/// three can be loaded, no more are tried.
pub async fn load_each(store: &dyn Store, runs: &[(RunId, i32)], bytes: usize) -> Vec<Result<Journal, StoreError>> {
    match store.load_journals_up_to(runs, bytes).await {
        Ok(journals) if !journals.is_empty() => return journals.into_iter().map(Ok).collect(),
        // The first is longer than that by itself.
        Ok(_) => return load_one(store, runs.first()).await.into_iter().collect(),
        Err(_) => {}
    }
    let (mut loaded, mut left) = (Vec::new(), bytes);
    for run in runs {
        let one = load_one(store, Some(run)).await;
        left = left.saturating_sub(one.iter().flatten().map(Journal::bytes).sum());
        loaded.extend(one);
        if left == 0 || (loaded.len() == BAD_IN_A_ROW && loaded.iter().all(Result::is_err)) {
            break;
        }
    }
    loaded
}

async fn load_one(store: &dyn Store, run: Option<&(RunId, i32)>) -> Option<Result<Journal, StoreError>> {
    let run = run?;
    let journals = store.load_journals(std::slice::from_ref(run)).await;
    let is_missing = || StoreError::Corrupt { what: format!("the journal of run {} is not there", run.0) };
    Some(journals.and_then(|mut journals| journals.pop().ok_or_else(is_missing)))
}

/// What keeps the journal of this run from being read, if the run is at fault and not the database; `error` is what the load said.
///
/// # Errors
/// The run is not known to be at fault: its journal can be read now, or the database does not answer.
pub async fn fault_of(store: &dyn Store, run: (RunId, i32), error: StoreError) -> Result<String, StoreError> {
    match error {
        // The database has read it, and it makes no sense.
        StoreError::Corrupt { .. } | StoreError::Unknown { .. } => Ok(error.to_string()),
        error => store.find_unreadable(run.0, run.1).await?.ok_or(error),
    }
}
