//! How many steps of a run came from the journal and how many ran now, for whoever has a handle of it or gets one later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model::RunId;

/// The counts of one run in this process.
#[derive(Default, Debug)]
pub struct Counters {
    replayed: AtomicU64,
    entries: AtomicU64,
    ran: AtomicU64,
}

impl Counters {
    pub(super) fn replayed(&self, steps: u64, entries: u64) {
        self.replayed.fetch_add(steps, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn ran_now(&self) {
        self.ran.fetch_add(1, Ordering::Relaxed);
    }

    /// Entries of all kinds taken from the journal.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Steps taken from the journal, and steps run now.
    pub fn read(&self) -> (u64, u64) {
        (self.replayed.load(Ordering::Relaxed), self.ran.load(Ordering::Relaxed))
    }
}

/// The counters of every run that is in memory or that somebody holds a handle of.
#[derive(Default)]
pub struct CounterBook(Mutex<HashMap<RunId, Weak<Counters>>>);

impl CounterBook {
    /// The counters of this run, held from now on.
    pub fn hold(&self, run: RunId) -> Arc<Counters> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = book.get(&run).and_then(Weak::upgrade) {
            return counters;
        }
        let counters = Arc::new(Counters::default());
        book.insert(run, Arc::downgrade(&counters));
        counters
    }

    /// Lets go of counters; the last one out removes their place.
    pub fn release(&self, run: RunId, counters: Arc<Counters>) {
        drop(counters);
        self.forget(run);
    }

    /// Removes the place of counters nobody holds any more.
    pub fn forget(&self, run: RunId) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if book.get(&run).is_some_and(|held| held.strong_count() == 0) {
            book.remove(&run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_once_handle_and_turn_are_gone_whichever_goes_first() {
        let (book, run) = (CounterBook::default(), RunId::new());
        let handle = book.hold(run);
        let turn = book.hold(run);
        turn.ran_now();
        book.release(run, handle);
        assert_eq!(book.hold(run).read(), (0, 1), "the turn still counts");
        drop(turn);
        book.forget(run);
        assert!(book.0.lock().unwrap().is_empty());
    }
}
