//! Executes a body live with random completion orders, and replays what it recorded. No database, no clock.

use std::sync::Arc;

use super::body::{Ctx, Event, Program};
use super::program::mix;
use crate::engine::drive::{Drive, Finished, Progress, Stuck};
use crate::engine::waker::BodyWaker;
use crate::journal::{Entry, EntryKind, EntryState, History};
use crate::model::time::from_micros;
use crate::model::{CallId, Failure, Payload};

/// What the drive said at one moment: after so many deliveries, with the body pending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Moment {
    pub(super) starts: Vec<CallId>,
    pub(super) dropped: Vec<CallId>,
    pub(super) finished: Option<Result<String, String>>,
    /// How much the body had done.
    pub(super) trace: usize,
}

/// One life of a body.
pub(super) struct Session {
    pub(super) drive: Drive,
    pub(super) ctx: Arc<Ctx>,
    pub(super) waker: Arc<BodyWaker>,
    args: Vec<(CallId, u64)>,
    /// What an earlier life recorded of the calls that start now.
    pub(super) priors: Vec<Entry>,
}

impl Session {
    pub(super) fn begin(program: &Program, journal: &[Entry]) -> Self {
        Self::begin_watched(program, journal, || ())
    }

    pub(super) fn begin_watched(
        program: &Program,
        journal: &[Entry],
        on_foreign: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self::begin_with(program, Payload::null(), journal, on_foreign)
    }

    pub(super) fn begin_with(
        program: &Program,
        input: Payload,
        journal: &[Entry],
        on_foreign: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let start = Entry::start(input, from_micros(0));
        let history = History::load([&[start], journal].concat()).unwrap();
        let ctx = Arc::new(Ctx::default());
        let running = program(ctx.clone());
        let body = Box::pin(async move {
            match running.await {
                Ok(value) => Ok(Payload::from_json_text(value.to_string())),
                Err(value) => Err(Failure::new(value)),
            }
        });
        let waker = BodyWaker::new(on_foreign);
        let drive = Drive::new(body, ctx.calls.clone(), history, waker.clone());
        Self { drive, ctx, waker, args: Vec::new(), priors: Vec::new() }
    }

    /// Advances to the next moment.
    pub(super) fn advance(&mut self) -> Result<Moment, Stuck> {
        let mut moment = Moment::default();
        loop {
            let Progress { starts, dropped, finished, more } = self.drive.advance()?;
            assert!(!more || (starts.is_empty() && finished.is_none()), "nothing starts before the journal is read");
            for start in starts {
                self.args.push((start.call.clone(), start.request.args_hash()));
                self.priors.extend(start.prior);
                moment.starts.push(start.call);
            }
            moment.dropped.extend(dropped);
            moment.finished = finished.map(|finished| match finished {
                Finished::Returned(Ok(output)) => Ok(output.as_str().to_owned()),
                Finished::Returned(Err(failure)) => Err(failure.message().to_owned()),
                Finished::Continued(_) => unreachable!("no program here has a next generation"),
            });
            if !more {
                moment.trace = self.ctx.trace().len();
                return Ok(moment);
            }
        }
    }

    pub(super) fn trace(&self) -> Vec<Event> {
        self.ctx.trace()
    }

    /// The entry of a call that ran to its end.
    pub(super) fn completion(&self, call: &CallId, outcome: u64) -> Entry {
        let args = self.args.iter().rev().find(|(known, _)| known == call).expect("it was started").1;
        let mut entry = entry_of(call, args, outcome);
        if outcome.is_multiple_of(8) {
            entry.state = EntryState::Failed;
            entry.failure = entry.output.take();
        }
        entry
    }

    /// What a worker may have recorded of calls that had no outcome when it died.
    fn open_entry(&self, call: &CallId, state: EntryState) -> Entry {
        let mut entry = self.completion(call, 1);
        (entry.state, entry.attempts) = (state, 7);
        entry
    }
}

/// A completed entry without a seq.
pub(super) fn entry_of(call: &CallId, args: u64, outcome: u64) -> Entry {
    let mut entry = Entry::new(call.clone(), EntryKind::Step, EntryState::Completed, from_micros(1));
    entry.args_hash = args;
    entry.output = Some(Payload::from_json_text(outcome.to_string()));
    entry
}

/// A whole run: its journal, and what happened at each moment.
pub(super) struct Recording {
    pub(super) journal: Vec<Entry>,
    /// `moments[n]` is after n deliveries.
    pub(super) moments: Vec<Moment>,
    pub(super) trace: Vec<Event>,
}

/// Random numbers from one seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(mix(self.0, 7), self.0 >> 31) >> 33) as usize % sides
    }
}

/// Runs a body to its end, with completions in an order given by `seed`; dies and starts over now and then.
pub(super) fn record(program: &Program, seed: u64, deaths: bool) -> Result<Recording, String> {
    let mut dice = Dice(seed);
    let mut session = Session::begin(program, &[]);
    let mut moments: Vec<Moment> = vec![session.advance().map_err(|stuck| stuck.message)?];
    let (mut journal, mut flying) = (Vec::<Entry>::new(), moments[0].starts.clone());
    let mut abandoned = Vec::<Entry>::new();
    loop {
        let moment = moments.last().expect("the first is there");
        if moment.finished.is_some() {
            let trace = session.trace();
            return Ok(Recording { journal, moments, trace });
        }
        if deaths && dice.roll(5) == 0 {
            let waiting = outstanding(&journal, &moments);
            let started = waiting.iter().filter(|_| dice.roll(2) == 0);
            let open: Vec<_> = started.map(|call| session.open_entry(call, EntryState::Started)).collect();
            // A dropped call that must finish may have been in flight too.
            let lost = flying.iter().filter(|call| !waiting.contains(call));
            let lost: Vec<_> = lost.map(|call| session.open_entry(call, EntryState::Started)).collect();
            let recorded = [&journal[..], &open, &lost, &abandoned].concat();
            session = Session::begin(program, &recorded);
            let again = session.advance().map_err(|stuck| stuck.message)?;
            same("starts after a death", &waiting, &again.starts)?;
            same("what was recorded of them", &open, &session.priors)?;
            flying = waiting;
        }
        // A turn may look again whenever it likes.
        if dice.roll(4) == 0 {
            let nothing = session.advance().map_err(|stuck| stuck.message)?;
            same(
                "an advance without news",
                &(vec![], vec![], None),
                &(nothing.starts, nothing.dropped, nothing.finished),
            )?;
        }
        let call = flying.swap_remove(dice.roll(flying.len()));
        let mut entry = session.completion(&call, mix(seed, dice.0) >> 11);
        let dropped = moments.iter().any(|moment| moment.dropped.contains(&call));
        same("a result is wanted", &!dropped, &session.drive.deliver(&mut entry))?;
        let now = session.advance().map_err(|stuck| stuck.message)?;
        if dropped {
            same("a dropped call's seq", &None, &entry.seq)?;
            same("after a dropped call", &(vec![], None), &(now.starts, now.finished))?;
            entry.state = EntryState::Abandoned;
            abandoned.push(entry);
        } else {
            flying.extend(now.starts.iter().cloned());
            journal.push(entry);
            moments.push(now);
        }
    }
}

/// The calls that have begun and have neither an outcome nor been dropped, in the order they began.
fn outstanding(journal: &[Entry], moments: &[Moment]) -> Vec<CallId> {
    let ended = |call: &CallId| {
        journal.iter().any(|entry| entry.call == *call) || moments.iter().any(|moment| moment.dropped.contains(call))
    };
    moments.iter().flat_map(|moment| &moment.starts).filter(|call| !ended(call)).cloned().collect()
}

/// Replays a recording from its first `prefix` entries on.
pub(super) fn replay(program: &Program, recording: &Recording, prefix: usize) -> Result<(), String> {
    let Recording { journal, moments, trace } = recording;
    let mut session = Session::begin(program, &journal[..prefix]);
    let mut now = session.advance().map_err(|stuck| stuck.message)?;
    let past = &moments[..=prefix];
    same("starts", &outstanding(&journal[..prefix], past), &now.starts)?;
    let dropped = past.iter().flat_map(|moment| moment.dropped.clone()).collect::<Vec<_>>();
    same("drops", &dropped, &now.dropped)?;
    same("result", &past[prefix].finished, &now.finished)?;
    same("what the body did", &trace[..past[prefix].trace], &session.trace()[..])?;
    for (entry, expected) in journal[prefix..].iter().zip(&moments[prefix + 1..]) {
        let mut again = Entry { seq: None, ..entry.clone() };
        same("delivery", &true, &session.drive.deliver(&mut again))?;
        same("entry", entry, &again)?;
        now = session.advance().map_err(|stuck| stuck.message)?;
        same("moment", expected, &now)?;
    }
    same("what the body did to its end", trace, &session.trace())?;
    same("it ended", &true, &now.finished.is_some())
}

/// Replays a recording from each of its prefixes.
pub(super) fn replay_all(program: &Program, recording: &Recording) -> Result<(), String> {
    (0..=recording.journal.len())
        .try_for_each(|prefix| replay(program, recording, prefix).map_err(|why| format!("from entry {prefix}: {why}")))
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, recorded: &T, now: &T) -> Result<(), String> {
    if recorded == now { Ok(()) } else { Err(format!("{what}: recorded {recorded:?}, now {now:?}")) }
}
