//! Who waits in this process for which run to end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::drive::Stuck;
use crate::journal::Entry;
use crate::model::{Payload, RunId, State};

/// What became of a run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The body returned `Ok`.
    Completed(Payload),
    /// It ended in this state, with this failure as the journal holds it.
    Failed(State, Payload),
    /// It cannot go on with this code.
    Blocked(Stuck),
}

impl Outcome {
    /// The outcome an `end` entry holds.
    pub fn ended(entry: Entry, state: State) -> Self {
        match (entry.output, entry.failure) {
            (Some(output), _) => Self::Completed(output),
            (None, failure) => Self::Failed(state, failure.unwrap_or_else(Payload::null)),
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

    /// Somebody has stopped waiting: nothing is kept for those who are gone, whether or not the run ever ends here.
    pub fn forget_gone(&self, run: RunId) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = waiting.get_mut(&run) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(&run);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let (waiters, run) = (Waiters::default(), RunId::new());
        let (first, second) = (waiters.wait(run), waiters.wait(run));
        drop(first);
        waiters.forget_gone(run);
        assert_eq!(waiters.0.lock().unwrap()[&run].len(), 1);
        drop(second);
        waiters.forget_gone(run);
        assert!(waiters.0.lock().unwrap().is_empty());
    }
}
