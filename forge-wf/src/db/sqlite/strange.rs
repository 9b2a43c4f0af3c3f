//! Rows that no version of this code wrote: an id of a wrong length, a text that is no UTF-8. A hand on the file may leave such rows.
//!
//! Reads what can be read of such a row, and says once that it is passed over. Writes nothing.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::error::sorted;
use crate::model::RunId;
use crate::store::StoreError;

/// How many ids are remembered at the most. Further ones are not named.
const NAMED_MAX: usize = 1_000;

/// Ids that are none, and were named already.
#[derive(Default)]
pub(super) struct StrangeIds(Mutex<HashSet<Vec<u8>>>);

impl StrangeIds {
    /// The run of this id; `None`, and an error in the log the first time, if it is none.
    pub(super) fn run(&self, id: &[u8]) -> Option<RunId> {
        if let Ok(id) = Uuid::from_slice(id) {
            return Some(RunId(id));
        }
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < NAMED_MAX && named.insert(id.to_vec()) {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            tracing::error!(
                "a row of forge_wf_runs has the id x'{id}', which is not 16 bytes long; something else wrote it, and it is passed over. \
                 Repair its id or delete the row"
            );
        }
        None
    }
}

/// A text as far as it can be read.
pub(super) fn lossy(call: &'static str, row: &SqliteRow, column: usize) -> Result<String, StoreError> {
    let bytes: &[u8] = row.try_get_unchecked(column).map_err(sorted(call))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
