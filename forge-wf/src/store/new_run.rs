//! A run about to be inserted.

use std::sync::Arc;
use std::time::Duration;

use super::Parent;
use crate::journal::Entry;
use crate::model::{Digest, Payload, RunId, Timestamp};

/// A run about to be inserted, with its `start` entry.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id, made by the caller so that the insert can be repeated.
    pub id: RunId,
    /// Seed of the run's `uuid()` and `rng()`.
    pub seed: i64,
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Version, if it was asked for or is bound.
    pub version: Option<Arc<str>>,
    /// The definition it is bound to.
    pub definition: Option<Digest>,
    /// What a worker must offer to claim it: the definition if bound, else `start_needs`.
    pub needs: Digest,
    /// What it needs while unbound: the digest of its name, and of its version if asked for.
    pub start_needs: Digest,
    /// The key it holds, unique per workflow.
    pub key: Option<Arc<str>>,
    /// The queue it waits in.
    pub queue: Arc<str>,
    /// Higher goes first.
    pub priority: i16,
    /// How long after the insert it becomes ready.
    pub delay: Duration,
    /// When it was started, by its worker's estimate of the database's time; kept on the `start` entry. A start outside the lanes
    /// keeps the database's own time in its place.
    pub at: Timestamp,
    /// Free-form tags, as a JSON object.
    pub tags: Option<Payload>,
    /// Who started it, for people.
    pub owner: Option<Arc<str>>,
    /// W3C trace context of the caller.
    pub trace_parent: Option<Arc<str>>,
    /// When it must have ended at the latest, whatever its timeout says.
    pub deadline_at: Option<Timestamp>,
    /// How long after it becomes ready, by the database's clock, it must have ended.
    pub timeout: Option<Duration>,
    /// The run that called it, if it is a child.
    pub parent: Option<Parent>,
    /// The input, kept as the output of the `start` entry.
    pub input: Payload,
}

impl NewRun {
    /// The `start` entry that is inserted with the run.
    pub fn start_entry(&self) -> Entry {
        Entry::start(self.input.clone(), self.at)
    }

    /// When it must have ended if it becomes ready at `due`: the earlier of its timeout and its deadline. Beyond the end of time there
    /// is none.
    pub fn deadline_from(&self, due: Timestamp) -> Option<Timestamp> {
        let after = |wait| due.checked_add_signed(chrono::TimeDelta::from_std(wait).ok()?);
        self.timeout.and_then(after).into_iter().chain(self.deadline_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::from_micros;
    use crate::store::conformance::support::bound;

    #[test]
    fn a_deadline_is_the_earlier_of_timeout_and_deadline() {
        let due = from_micros(5);
        let at = |timeout: Option<u64>, deadline: Option<i64>| {
            let timeout = timeout.map(Duration::from_micros);
            NewRun { timeout, deadline_at: deadline.map(from_micros), ..bound() }.deadline_from(due)
        };
        assert_eq!(at(Some(7), None), Some(from_micros(12)));
        assert_eq!(at(Some(7), Some(11)), Some(from_micros(11)));
        assert_eq!(at(Some(7), Some(13)), Some(from_micros(12)));
        assert_eq!((at(None, Some(3)), at(None, None)), (Some(from_micros(3)), None));
        assert_eq!(at(Some(u64::MAX), None), None, "beyond the end of time");
    }
}
