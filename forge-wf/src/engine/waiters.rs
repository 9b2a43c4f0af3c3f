//! Who waits in this process for which run to end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::drive::Stuck;
use crate::journal::Entry;
use crate::model::{Payload, RunId};

/// What became of a run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The body returned `Ok`.
    Completed(Payload),
    /// The body returned `Err`; the failure as the journal holds it.
    Failed(Payload),
    /// It cannot go on with this code.
    Blocked(Stuck),
}

impl Outcome {
    /// The outcome an `end` entry holds.
    pub fn ended(entry: Entry) -> Self {
        match (entry.output, entry.failure) {
            (Some(output), _) => Self::Completed(output),
            (None, failure) => Self::Failed(failure.unwrap_or_else(Payload::null)),
        }
    }
}

/// Who waits for which run.
#[derive(Default)]
pub struct Waiters(Mutex<HashMap<RunId, Vec<oneshot::Sender<Outcome>>>>);

impl Waiters {
    /// Hears of the run's end, if it comes about in this process; the channel closes if the run goes elsewhere.
    pub fn wait(&self, run: RunId) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default().push(sender);
        receiver
    }

    /// The run's turn is over, with or without an outcome.
    pub fn tell(&self, run: RunId, outcome: Option<Outcome>) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        if let Some(outcome) = outcome {
            for waiter in waiting.into_iter().flatten() {
                let _ = waiter.send(outcome.clone());
            }
        }
    }
}
