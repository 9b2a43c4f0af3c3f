//! Crash points: abort the process right before or right after a journal entry is committed.
//!
//! `FORGE_WF_CRASH_AFTER=copy_file:25` aborts right after the 25th outcome of step `copy_file` that this process
//! records is committed, `FORGE_WF_CRASH_BEFORE=` right before. Nothing is cleaned up, as with `kill -9`.
//!
//! Other calls are named by their whole key, as in `sleep:1`, `event:approved:2` or `child:ship:1`; `started:` before any of
//! them counts the entries that show it as begun. `commit:7` means the seventh commit that writes anything.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::EntryState;
use crate::store::Batch;

struct Point {
    key: String,
    started: bool,
    number: u64,
    seen: AtomicU64,
}

impl Point {
    /// `copy_file:25`; a bare name means the first.
    fn parse(text: &str) -> Option<Self> {
        let (name, number) = text.rsplit_once(':').unwrap_or((text, "1"));
        let (started, name) = match name.strip_prefix("started:") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let whole = ["sleep", "timeout", "unwind", "end", "commit"].contains(&name)
            || ["step:", "event:", "child:", "undo:", "resolve:"].iter().any(|kind| name.starts_with(kind));
        let key = if whole { name.to_owned() } else { format!("step:{name}") };
        Some(Self { key, started, number: number.parse().ok()?, seen: AtomicU64::new(0) })
    }

    fn read(variable: &str) -> Option<Self> {
        let text = std::env::var(variable).ok()?;
        let point = Self::parse(&text);
        if point.is_none() {
            tracing::error!("{variable}={text} is not of the form step:number or key:number; it is ignored");
        }
        point
    }

    /// Counts the outcomes in this batch; whether the number is reached.
    fn reached(&self, batch: &Batch) -> bool {
        if self.key == "commit" {
            return self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.number;
        }
        let outcomes = batch
            .inserts
            .iter()
            .chain(&batch.outcomes)
            .filter(|write| *write.entry.call.key == *self.key)
            .filter(|write| (write.entry.state == EntryState::Started) == self.started)
            .count() as u64;
        self.seen.fetch_add(outcomes, Ordering::SeqCst) + outcomes >= self.number && outcomes > 0
    }
}

/// Called with every batch before it is sent.
pub fn before_commit(batch: &Batch) {
    static POINT: OnceLock<Option<Point>> = OnceLock::new();
    if let Some(point) = POINT.get_or_init(|| Point::read("FORGE_WF_CRASH_BEFORE"))
        && point.reached(batch)
    {
        std::process::abort();
    }
}

/// Called with every batch after the database has confirmed it.
pub fn after_commit(batch: &Batch) {
    static POINT: OnceLock<Option<Point>> = OnceLock::new();
    if let Some(point) = POINT.get_or_init(|| Point::read("FORGE_WF_CRASH_AFTER"))
        && point.reached(batch)
    {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_step_and_a_number() {
        let point = Point::parse("copy_file:25").unwrap();
        assert_eq!((point.key.as_str(), point.number), ("step:copy_file", 25));
        assert_eq!(Point::parse("copy_file").unwrap().number, 1);
        assert!(Point::parse("copy_file:soon").is_none());
    }

    #[test]
    fn a_point_may_be_any_call_and_its_beginning() {
        let point = |text| Point::parse(text).map(|point| (point.key, point.started, point.number)).unwrap();
        assert_eq!(point("sleep:2"), ("sleep".into(), false, 2));
        assert_eq!(point("event:approved:1"), ("event:approved".into(), false, 1));
        assert_eq!(point("started:child:ship:3"), ("child:ship".into(), true, 3));
        assert_eq!(point("started:copy_file:1"), ("step:copy_file".into(), true, 1));
        assert_eq!(point("undo:step:charge:2"), ("undo:step:charge".into(), false, 2));
        assert_eq!(point("commit:7"), ("commit".into(), false, 7));
    }
}
