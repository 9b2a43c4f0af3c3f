//! Runs that the database refused to change a while ago: each is left alone for some minutes, so that it is neither tried nor named again
//! with every look around, and many of them keep none behind them waiting.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::RunId;

/// How long a run is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(300);
/// How many runs are known at the most. Further ones are tried again at once.
const RUNS_MAX: usize = 10_000;

/// Runs that were refused, and when.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<RunId, Instant>>);

impl Refusals {
    /// Remembers that this run was refused just now.
    pub(super) fn add(&self, run: RunId) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < RUNS_MAX {
            refused.insert(run, Instant::now());
        }
    }

    /// The runs that are left alone now.
    pub(super) fn recent(&self) -> Vec<RunId> {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, since| since.elapsed() < LEFT_ALONE);
        refused.keys().copied().collect()
    }
}
