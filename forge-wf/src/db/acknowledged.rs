//! What this process was told is durable, to notice a database that no longer holds it.
//!
//! A server that fails over to a copy which lagged behind, or a file that is restored, is behind the numbers it had acknowledged:
//! those of a worker's lanes and of its renewals. Every write of the worker is compared with them, and so is every new connection.
//! Pure: takes numbers, and says whether commits were lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Lane, WorkerId};
use crate::store::StoreError;

/// The numbers acknowledged to the workers of one store.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<HashMap<WorkerId, Numbers>>);

#[derive(Default)]
struct Numbers {
    /// The last batch of each lane; for the lane of claims the last claim that took runs.
    lanes: HashMap<Lane, i64>,
    renewal: i64,
}

impl Acknowledged {
    /// The database has acknowledged this batch, or this claim with runs.
    pub(super) fn moved(&self, worker: WorkerId, lane: Lane, number: i64) {
        self.change(worker, |numbers| {
            let last = numbers.lanes.entry(lane).or_default();
            *last = number.max(*last);
        });
    }

    /// The database has acknowledged this renewal.
    pub(super) fn renewed(&self, worker: WorkerId, number: i64) {
        self.change(worker, |numbers| numbers.renewal = number.max(numbers.renewal));
    }

    /// The number of the worker's next renewal. The same again until it is acknowledged.
    pub(super) fn next_renewal(&self, worker: WorkerId) -> i64 {
        self.of(worker, |numbers| Some(numbers.renewal)) + 1
    }

    /// The worker is gone.
    pub(super) fn forget(&self, worker: WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }

    /// Compares a lane's row with what was acknowledged.
    ///
    /// # Errors
    /// `CommitsLost` if the row is behind.
    pub(super) fn check_lane(&self, worker: WorkerId, lane: Lane, found: i64) -> Result<(), StoreError> {
        check(worker, lane, found, self.of(worker, |numbers| numbers.lanes.get(&lane).copied()))
    }

    /// What is acknowledged by now on each lane of the worker: a row that is read later is not behind these numbers.
    /// Asked by a new connection; SQLite's writer has one, and compares each batch.
    #[cfg(feature = "postgres")]
    pub(super) fn lanes(&self, worker: WorkerId) -> HashMap<Lane, i64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&worker).map(|numbers| numbers.lanes.clone()).unwrap_or_default()
    }

    /// Compares the number of renewals in the worker's row with what was acknowledged.
    ///
    /// # Errors
    /// `CommitsLost` if the row is behind.
    pub(super) fn check_renewal(&self, worker: WorkerId, found: i64) -> Result<(), StoreError> {
        let acknowledged = self.of(worker, |numbers| Some(numbers.renewal));
        behind(worker, format_args!("its renewals"), found, acknowledged)
    }

    fn change(&self, worker: WorkerId, change: impl FnOnce(&mut Numbers)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(worker).or_default());
    }

    /// A number of the worker; 0 if nothing was acknowledged yet.
    fn of(&self, worker: WorkerId, number: impl FnOnce(&Numbers) -> Option<i64>) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).and_then(number).unwrap_or_default()
    }
}

/// Compares a lane's row with what had been acknowledged when it was asked for.
///
/// # Errors
/// `CommitsLost` if the row is behind.
pub(super) fn check(worker: WorkerId, lane: Lane, found: i64, acknowledged: i64) -> Result<(), StoreError> {
    behind(worker, format_args!("lane {}", lane.0), found, acknowledged)
}

fn behind(worker: WorkerId, what: std::fmt::Arguments<'_>, found: i64, acknowledged: i64) -> Result<(), StoreError> {
    if found >= acknowledged {
        return Ok(());
    }
    let what = format!("{what}: {acknowledged} was acknowledged, {found} is there");
    Err(StoreError::CommitsLost { worker, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_an_acknowledged_one_is_a_loss() {
        let (acknowledged, worker) = (Acknowledged::default(), WorkerId::new());
        assert!(acknowledged.check_lane(worker, Lane(1), 0).is_ok(), "nothing was acknowledged yet");
        acknowledged.moved(worker, Lane(1), 7);
        acknowledged.moved(worker, Lane(1), 5);
        assert!(acknowledged.check_lane(worker, Lane(1), 7).is_ok(), "answers may overtake each other");
        let error = acknowledged.check_lane(worker, Lane(1), 6).unwrap_err();
        assert!(error.to_string().contains("lane 1: 7 was acknowledged, 6 is there"), "{error}");
        assert!(acknowledged.check_lane(worker, Lane(2), 0).is_ok(), "each lane counts for itself");
        assert!(acknowledged.check_lane(WorkerId::new(), Lane(1), 0).is_ok(), "and each worker");
    }

    #[test]
    fn a_renewal_has_the_same_number_until_it_is_acknowledged() {
        let (acknowledged, worker) = (Acknowledged::default(), WorkerId::new());
        assert_eq!((acknowledged.next_renewal(worker), acknowledged.next_renewal(worker)), (1, 1));
        acknowledged.renewed(worker, 1);
        assert_eq!(acknowledged.next_renewal(worker), 2);
        assert!(acknowledged.check_renewal(worker, 1).is_ok() && acknowledged.check_renewal(worker, 0).is_err());
        acknowledged.forget(worker);
        assert!(acknowledged.check_renewal(worker, 0).is_ok());
    }
}
