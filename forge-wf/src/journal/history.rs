//! A loaded journal, and how far replay has read it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::entry::{Entry, EntryKind, EntryState, Recipe, UndoState};
use crate::model::{CallId, Payload, Timestamp, numbers};

/// One run's journal in memory, and how far replay has read it.
///
/// - Delivered entries have seq 1, 2, 3 … without a gap, else [`History::load`] refuses them as [`Corrupt`]; entries
///   that were started or abandoned have none and are kept apart, by call.
/// - `cursor` only grows, so a recorded outcome is handed out once.
#[derive(Debug)]
pub struct History {
    input: Payload,
    saved: BTreeMap<Arc<str>, Payload>,
    started_at: Timestamp,
    delivered: Vec<Entry>,
    cursor: usize,
    place: HashMap<CallId, usize>,
    open: HashMap<CallId, Entry>,
    end: Option<Entry>,
    /// Where the first number stands that was read from the journal and that earlier builds read otherwise, and that number.
    read_otherwise: Option<(String, String)>,
}

/// A journal that no version of this code wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt(pub String);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl History {
    /// The history of a run that was just born.
    pub fn new(input: Payload, started_at: Timestamp) -> Self {
        Self {
            input,
            saved: BTreeMap::new(),
            started_at,
            delivered: Vec::new(),
            cursor: 0,
            place: HashMap::new(),
            open: HashMap::new(),
            end: None,
            read_otherwise: None,
        }
    }

    /// Reads the entries of one generation, sorted by seq.
    ///
    /// # Errors
    /// `Corrupt` if there is no `start`, if a seq is missing or there twice, or if a delivered entry has no outcome.
    pub fn load(entries: Vec<Entry>) -> Result<Self, Corrupt> {
        let mut entries = entries.into_iter();
        let start = entries.next().filter(|entry| entry.kind == EntryKind::Start && entry.seq == Some(0));
        let start = start.ok_or_else(|| Corrupt("it does not begin with a `start` entry of seq 0".into()))?;
        let input = start.output.ok_or_else(|| Corrupt("its `start` entry has no input".into()))?;
        let mut history = Self::new(input, start.at);
        if let Some(saved) = start.args {
            let saved: BTreeMap<String, Box<RawValue>> = saved
                .decode()
                .map_err(|error| Corrupt(format!("what earlier generations saved cannot be read: {error}")))?;
            history.saved =
                saved.into_iter().map(|(name, value)| (name.into(), Payload::from_json_text(value.get()))).collect();
        }
        let saved: Vec<_> = history.saved.values().cloned().collect();
        for payload in [history.input.clone()].iter().chain(&saved) {
            history.note_numbers(|| "its `start` entry".into(), payload);
        }
        for entry in entries {
            let Some(seq) = entry.seq else {
                history.open.insert(entry.call.clone(), entry);
                continue;
            };
            let expected = history.delivered.len() as i32 + 1;
            if seq != expected || history.end.is_some() {
                return Err(Corrupt(format!("entry {} has seq {seq} where {expected} was expected", entry.call)));
            }
            let whole = match entry.state {
                EntryState::Completed => entry.output.is_some(),
                EntryState::Failed => entry.failure.is_some(),
                EntryState::Started | EntryState::Abandoned => false,
            };
            if !whole {
                return Err(Corrupt(format!("entry {} of seq {seq} has no outcome", entry.call)));
            }
            if entry.kind == EntryKind::End {
                history.end = Some(entry);
            } else {
                history.place.insert(entry.call.clone(), history.delivered.len());
                history.delivered.push(entry);
            }
        }
        Ok(history)
    }

    /// The run's input.
    pub fn input(&self) -> &Payload {
        &self.input
    }

    /// What earlier generations of the run have saved, by name.
    pub fn saved(&self) -> &BTreeMap<Arc<str>, Payload> {
        &self.saved
    }

    /// The arguments of a `start` entry that hand on what was saved; none if nothing was.
    pub fn saved_as_args(saved: &BTreeMap<Arc<str>, Payload>) -> Option<Payload> {
        if saved.is_empty() {
            return None;
        }
        let raw = |value: &Payload| RawValue::from_string(value.as_str().to_owned()).unwrap_or_default();
        let saved: BTreeMap<_, _> = saved.iter().map(|(name, value)| (&**name, raw(value))).collect();
        serde_json::to_string(&saved).ok().map(Payload::from_json_text)
    }

    /// Whether the journal already holds the run's end.
    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether it holds nothing but the start.
    pub fn is_new(&self) -> bool {
        self.delivered.is_empty() && self.open.is_empty() && self.end.is_none()
    }

    /// The time of the newest entry handed out so far.
    pub fn now(&self) -> Timestamp {
        self.last().map_or(self.started_at, |entry| entry.at)
    }

    /// The newest entry handed out so far.
    pub fn last(&self) -> Option<&Entry> {
        self.cursor.checked_sub(1).and_then(|at| self.delivered.get(at))
    }

    /// The next entry to hand out, without handing it out.
    pub fn peek(&self) -> Option<&Entry> {
        self.delivered.get(self.cursor)
    }

    /// Hands out the next entry, and keeps all of it but the payloads.
    pub fn take(&mut self) -> Option<Entry> {
        let held = self.delivered.get_mut(self.cursor)?;
        let outline = held.outline();
        let entry = std::mem::replace(held, outline);
        self.cursor += 1;
        if let Some(output) = &entry.output {
            let place = || format!("entry {} ({})", entry.seq.unwrap_or_default(), entry.call);
            self.note_numbers(place, output);
        }
        Some(entry)
    }

    /// Where the first number stands that was read from the journal and that earlier builds read otherwise, and that number.
    pub fn read_otherwise(&self) -> Option<&(String, String)> {
        self.read_otherwise.as_ref()
    }

    fn note_numbers(&mut self, place: impl FnOnce() -> String, payload: &Payload) {
        if self.read_otherwise.is_none()
            && let Some(number) = numbers::read_otherwise(payload.as_str())
        {
            self.read_otherwise = Some((place(), number.to_owned()));
        }
    }

    /// How many entries are still to be handed out.
    pub fn left(&self) -> usize {
        self.delivered.len() - self.cursor
    }

    /// How many delivered entries there are; the next one gets this plus one as its seq.
    pub fn len(&self) -> usize {
        self.delivered.len()
    }

    /// Whether no entry was delivered yet.
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty()
    }

    /// The entry of this call, with or without an outcome.
    pub fn find(&self, call: &CallId) -> Option<&Entry> {
        self.place.get(call).map(|&at| &self.delivered[at]).or_else(|| self.open.get(call))
    }

    /// The entry of this call that has no seq.
    pub fn open(&self, call: &CallId) -> Option<&Entry> {
        self.open.get(call)
    }

    /// The calls of the body whose entry has no seq.
    pub fn open_calls(&self) -> impl Iterator<Item = &CallId> {
        self.open.values().filter(|entry| entry.kind != EntryKind::Move).map(|entry| &entry.call)
    }

    /// Whether the journal as it was loaded holds an outcome of this call.
    pub fn held_outcome(&self, call: &CallId) -> bool {
        self.place.contains_key(call)
    }

    /// Notes that one more result was handed out live: only its time and its number are kept, so memory does not
    /// grow with payloads that will not be read again.
    pub fn push_live(&mut self, entry: &Entry) {
        assert_eq!(self.left(), 0, "a live result came before the journal was replayed");
        self.open.remove(&entry.call);
        self.delivered.push(entry.outline());
        self.cursor += 1;
    }

    /// Notes that an entry without seq is written now. What it takes to undo it is kept with it.
    pub fn note_open(&mut self, entry: &Entry) {
        self.open.insert(entry.call.clone(), Entry { output: None, ..entry.clone() });
    }

    /// The entry of this call, if its outcome was handed out, be it live.
    pub fn find_delivered(&self, call: &CallId) -> Option<&Entry> {
        self.delivered.iter().find(|entry| entry.call == *call)
    }

    /// How far undoing this call came: its entry, if it has one.
    pub fn note_undo(&mut self, call: &CallId, state: UndoState) -> Option<Entry> {
        let delivered = self.delivered.iter_mut().find(|entry| entry.call == *call);
        let entry = delivered.or_else(|| self.open.get_mut(call))?;
        entry.undo_state = Some(state);
        Some(entry.clone())
    }

    /// The entries that may have to be undone, what is recorded of undoing, and the children that were asked to end, without their payloads, in no order.
    pub fn undoable(&self) -> impl Iterator<Item = Entry> {
        let counts = |entry: &&Entry| match entry.kind {
            EntryKind::Undo | EntryKind::Resolve => true,
            EntryKind::Child => entry.undo.is_some() || entry.seq.is_none(),
            _ => entry.undo.is_some(),
        };
        self.delivered.iter().chain(self.open.values()).filter(counts).map(Entry::outline)
    }

    /// The entries that have no seq, in no order.
    pub fn open_entries(&self) -> impl Iterator<Item = &Entry> {
        self.open.values()
    }

    /// Calls that the body has dropped and of which nothing is left to undo, with the number of results the body had by then.
    pub fn settled(&self) -> impl Iterator<Item = (CallId, usize)> {
        self.open.values().filter_map(|entry| Some((entry.call.clone(), entry.settled_after()?)))
    }

    /// The child of this call has ended, which the body had dropped: the entry that changes, if that was not known.
    pub fn child_ended(&mut self, call: &CallId, recipe: Option<Recipe>) -> Option<Entry> {
        let entry = self.open.get_mut(call)?;
        entry.end_abandoned_child(recipe).then(|| entry.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::from_micros;

    fn entry(key: &str, n: u32, seq: Option<i32>) -> Entry {
        let mut entry = Entry::new(CallId::new(key, n), EntryKind::Step, EntryState::Completed, from_micros(n.into()));
        entry.seq = seq;
        entry.output = Some(Payload::null());
        entry
    }

    fn journal(rest: Vec<Entry>) -> Vec<Entry> {
        [vec![Entry::start(Payload::null(), from_micros(0))], rest].concat()
    }

    #[test]
    fn the_first_number_that_earlier_builds_read_otherwise_is_noted_once_it_is_handed_out() {
        let mut priced = entry("step:b", 0, Some(2));
        priced.output = Some(Payload::from_json_text("{\"price\":0.011000000000000001}"));
        let mut history = History::load(journal(vec![entry("step:a", 0, Some(1)), priced])).unwrap();
        history.take();
        assert_eq!(history.read_otherwise(), None);
        history.take();
        let noted = history.read_otherwise().unwrap();
        assert_eq!((noted.0.as_str(), noted.1.as_str()), ("entry 2 (step:b#0)", "0.011000000000000001"));
    }

    #[test]
    fn entries_are_handed_out_once_and_in_order() {
        let mut history = History::load(journal(vec![
            entry("step:a", 0, Some(1)),
            entry("step:b", 0, Some(2)),
            entry("step:c", 0, None),
        ]))
        .unwrap();
        assert_eq!(history.take().unwrap().call.to_string(), "step:a#0");
        assert_eq!(history.take().unwrap().call.to_string(), "step:b#0");
        assert!(history.take().is_none());
        assert!(history.open(&CallId::new("step:c", 0)).is_some());
    }

    #[test]
    fn what_was_saved_is_handed_on() {
        let saved: BTreeMap<Arc<str>, Payload> = [("done".into(), Payload::from_json_text("[1.0,null]"))].into();
        let mut entries = journal(Vec::new());
        entries[0].args = History::saved_as_args(&saved);
        assert_eq!(History::load(entries).unwrap().saved(), &saved);
        assert_eq!(History::saved_as_args(&BTreeMap::new()), None);
    }

    #[test]
    fn a_gap_a_repetition_or_a_missing_start_is_corrupt() {
        assert!(History::load(vec![]).is_err());
        assert!(History::load(vec![entry("step:a", 0, Some(1))]).is_err());
        assert!(History::load(journal(vec![entry("step:a", 0, Some(2))])).is_err());
        let twice = journal(vec![entry("step:a", 0, Some(1)), entry("step:b", 0, Some(1))]);
        assert!(History::load(twice).unwrap_err().to_string().contains("step:b#0"));
        let mut hollow = entry("step:a", 0, Some(1));
        hollow.output = None;
        assert!(History::load(journal(vec![hollow])).is_err());
    }
}
