//! Runs whose rows cannot be written for now, and what they want written.
//!
//! Another transaction has locked a row of theirs (that of a person who has not committed yet, say), or a trigger raises a conflict. What
//! such a run wants written waits here, in order, and is sent again after a pause that grows; the other runs of the lane go on. Pure: takes what
//! the database did not accept and the time, and says what to send next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::pauses::Pauses;
use super::writer::{Folded, Item};
use crate::model::RunId;
use crate::store::StoreError;

/// Pause before a run is tried again: the first, doubling up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// No run of a lane is tried sooner after another was tried in vain: an attempt keeps the whole lane waiting for a moment.
const BETWEEN: Duration = Duration::from_secs(1);

/// The runs of one lane that were set aside, and items that are to go before the queue.
#[derive(Default)]
pub struct Aside {
    runs: BTreeMap<RunId, SetAside>,
    ready: VecDeque<Item>,
    not_before: Option<Instant>,
}

/// What one run wants written.
pub struct SetAside {
    /// What the database did not accept.
    pub group: Folded,
    /// What the run has asked for since.
    pub behind: Behind,
}

/// What a run has asked for since it was set aside, in order, and how long it pauses.
pub struct Behind {
    items: Vec<Item>,
    pauses: Pauses,
    due: Instant,
}

impl Aside {
    /// The database does not let this be written for now.
    pub fn set(&mut self, group: Folded, error: &StoreError, now: Instant) {
        let mut pauses = Pauses::new(AGAIN);
        let pause = pauses.take();
        tracing::warn!(
            run = %group.run, %error,
            "what this run writes waits, since its rows cannot be changed for now; other runs go on. Look for a transaction that was left \
             open, or for a trigger"
        );
        let due = now + pause;
        self.runs.insert(group.run, SetAside { group, behind: Behind { items: Vec::new(), pauses, due } });
    }

    /// When to send something again, if anything was set aside.
    pub fn next_due(&self) -> Option<Instant> {
        let first = self.runs.values().map(|it| it.behind.due).min()?;
        Some(self.not_before.map_or(first, |not_before| first.max(not_before)))
    }

    /// Takes out the run that has been due the longest.
    pub fn take_due(&mut self, now: Instant) -> Option<SetAside> {
        self.next_due().filter(|due| *due <= now)?;
        let run = *self.runs.iter().min_by_key(|(_, it)| it.behind.due)?.0;
        self.runs.remove(&run)
    }

    /// It was tried in vain.
    pub fn put_back(&mut self, group: Folded, mut behind: Behind, error: &StoreError, now: Instant) {
        let pause = behind.pauses.take();
        tracing::warn!(run = %group.run, %error, ?pause, "what this run writes still waits");
        behind.due = now + pause;
        self.not_before = Some(now + BETWEEN);
        self.runs.insert(group.run, SetAside { group, behind });
    }

    /// It has its answer: what came behind it goes next.
    pub fn is_over(&mut self, behind: Behind) {
        self.ready.extend(behind.items);
    }

    /// The item, unless its run was set aside: then it goes behind that.
    pub fn pass(&mut self, item: Item) -> Option<Item> {
        match self.runs.get_mut(&item.run) {
            Some(aside) => {
                aside.behind.items.push(item);
                None
            }
            None => Some(item),
        }
    }

    /// This item goes before all others.
    pub fn is_next(&mut self, item: Item) {
        self.ready.push_front(item);
    }

    /// The next item that goes before the queue.
    pub fn take_ready(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use tokio::sync::mpsc;

    use super::*;
    use crate::engine::turn::Message;
    use crate::engine::writer::{Along, Reply};

    /// An item of a run, told by its number.
    fn item(run: RunId, number: u64, turn: &mpsc::UnboundedSender<Message>) -> Item {
        let (reply, current) = (Reply::Turn(turn.clone(), number), Arc::new(AtomicBool::new(true)));
        let (birth, image, writes, along) = (None, None, Vec::new(), Along::default());
        Item { run, claim_no: 1, birth, image, writes, along, reply, current }
    }

    fn number(item: &Item) -> u64 {
        let Reply::Turn(_, number) = item.reply else { panic!("of a turn") };
        number
    }

    fn busy() -> StoreError {
        StoreError::Busy { call: "commit", source: "a lock".into() }
    }

    #[test]
    fn what_comes_behind_a_run_stays_there_in_order() {
        let (turn, _hears) = mpsc::unbounded_channel();
        let (mut aside, now) = (Aside::default(), Instant::now());
        let (held, other) = (RunId::new(), RunId::new());
        aside.set(Folded::new(item(held, 0, &turn)), &busy(), now);
        assert!(aside.pass(item(held, 1, &turn)).is_none() && aside.pass(item(held, 2, &turn)).is_none());
        assert!(aside.pass(item(other, 3, &turn)).is_some());
        assert!(aside.take_due(now).is_none() && aside.take_ready().is_none(), "not yet");

        let due = aside.next_due().unwrap();
        let SetAside { group, behind } = aside.take_due(due).unwrap();
        assert_eq!(group.run, held);
        aside.is_over(behind);
        aside.is_next(item(other, 4, &turn));
        let order: Vec<_> = std::iter::from_fn(|| aside.take_ready()).map(|item| number(&item)).collect();
        assert_eq!(order, [4, 1, 2]);
        assert!(aside.next_due().is_none() && aside.pass(item(held, 5, &turn)).is_some());
    }

    #[test]
    fn a_run_is_tried_again_after_pauses_that_grow_and_no_two_at_once() {
        let (turn, _hears) = mpsc::unbounded_channel();
        let (mut aside, mut now) = (Aside::default(), Instant::now());
        for _ in 0..3 {
            aside.set(Folded::new(item(RunId::new(), 0, &turn)), &busy(), now);
        }
        let mut tried: BTreeMap<RunId, Vec<Instant>> = BTreeMap::new();
        let mut last = None;
        for _ in 0..30 {
            now = aside.next_due().unwrap();
            let SetAside { group, behind } = aside.take_due(now).unwrap();
            assert!(last.is_none_or(|last| now - last >= BETWEEN), "each keeps the lane waiting");
            last = Some(now);
            tried.entry(group.run).or_default().push(now);
            aside.put_back(group, behind, &busy(), now);
        }
        assert_eq!(tried.len(), 3);
        for times in tried.values() {
            let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses.is_sorted() && pauses.last().unwrap() >= &AGAIN.1, "{pauses:?}");
        }
    }
}
