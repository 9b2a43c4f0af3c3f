//! One sentence about a run: what it waits for, why it is blocked, or how it ended, and the next move. Pure.

use crate::engine::child::child_id;
use crate::engine::unwind::{Next, Unwinding};
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{Failure, Payload, Phase, State, Status, Timestamp};
use crate::store::RunView;

/// The sentence for this run, whose present journal has these entries.
pub(crate) fn why(view: &RunView, entries: &[Entry]) -> String {
    let name = match &view.version {
        Some(version) => format!("{} version {version}", view.workflow),
        None => view.workflow.to_string(),
    };
    match view.status() {
        Status::Completed => "completed".into(),
        Status::Failed => format!("failed, with nothing to undo: {}", words(view.failure.as_ref())),
        Status::Compensated => format!("failed, and what it did was undone: {}", words(view.failure.as_ref())),
        Status::Cancelled => format!("{}; what it did was undone", words(view.failure.as_ref())),
        Status::Killed | Status::Retired => format!("{}; nothing was undone", words(view.failure.as_ref())),
        Status::Pending => match view.ready_at.filter(|_| view.due_later) {
            Some(due) => format!("is due at {}", time(due)),
            None => "waits for a worker with a free slot".into(),
        },
        Status::Paused => "paused by an operator; resume, cancel or kill it".into(),
        Status::BlockedMissingHandler | Status::BlockedMissingVersion | Status::BlockedSignatureMismatch
            if view.phase == Phase::Undo =>
        {
            format!("{}; no live worker has that step: start one that does", undoes(entries))
        }
        Status::BlockedMissingHandler => {
            format!("no live worker can take it: start one that has the workflow {}", view.workflow)
        }
        Status::BlockedMissingVersion => format!("no live worker has workflow {name}: start one that has it"),
        Status::BlockedSignatureMismatch => {
            format!("live workers have workflow {name} with another signature: start the build it was started with")
        }
        Status::Compensating => undoes(entries),
        status if status.is_blocked() => format!("{}: {}", status.name(), words(view.failure.as_ref())),
        _ => waits(view, entries),
    }
}

/// The same of a run whose journal cannot be read, of which the database says this.
pub(crate) fn why_unread(view: &RunView, said: &str) -> String {
    let status = view.status();
    // Only what does not take the journal.
    let row = match status {
        Status::Compensating => "undoes what it did".into(),
        _ if status.is_ended() || view.failure.is_some() || view.state != State::Waiting => why(view, &[]),
        _ => format!("is {status}"),
    };
    format!("{row}; its journal cannot be read: {said}")
}

fn words(failure: Option<&Payload>) -> String {
    let failure = failure.and_then(|failure| failure.decode::<Failure>().ok());
    failure.map_or_else(|| "nobody said why".into(), |failure| failure.message().to_owned())
}

fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What it is undoing.
fn undoes(entries: &[Entry]) -> String {
    let Ok(unwinding) = Unwinding::load(entries.to_vec()) else { return "its journal cannot be read".into() };
    match unwinding.next() {
        Next::Undo { entry, undo, prior } => {
            let again = prior.and_then(|prior| {
                let (due, failure) = (prior.due_at?, prior.failure.as_ref());
                Some(format!(", again at {}, after attempt {} failed: {}", time(due), prior.attempts, words(failure)))
            });
            format!("undoes {} by {}{}", entry.call, undo.step, again.unwrap_or_default())
        }
        Next::Resolve { entry, .. } => format!("finds out whether {} was done, to undo it", entry.call),
        Next::Await { entry } => format!("waits until {} has ended, which was cancelled with it", entry.call),
        Next::Stuck { entry, .. } => format!("{} cannot be undone; retry, skip or mark it as done", entry.call),
        Next::End => "is about to end".into(),
    }
}

/// What it waits for, of all that has begun and has no outcome; the first that is due goes first.
fn waits(view: &RunView, entries: &[Entry]) -> String {
    if let Some(failure) = &view.failure {
        return words(Some(failure));
    }
    let mut open: Vec<_> =
        entries.iter().filter(|entry| entry.seq.is_none() && entry.state == EntryState::Started).collect();
    // What somebody else has to do goes before what only time does.
    let others = |entry: &Entry| matches!(entry.kind, EntryKind::Event | EntryKind::Child);
    open.sort_by_key(|entry| (!others(entry), entry.due_at.is_none(), entry.due_at, entry.call.clone()));
    let Some((first, rest)) = open.split_first() else { return "is executed by a worker".into() };
    let what = match (first.kind, first.due_at) {
        (EntryKind::Sleep, Some(due)) => format!("waits until {} ({})", time(due), first.call),
        (EntryKind::Event, _) => format!("waits for {}", first.call),
        (EntryKind::Child, _) => {
            let child = child_id(view.id, view.generation, &first.call);
            format!("waits for its child {} (run {child})", first.call)
        }
        (_, Some(due)) if view.status() != Status::Running => format!(
            "{} is tried again at {}, after attempt {} failed: {}",
            first.call,
            time(due),
            first.attempts,
            words(first.failure.as_ref())
        ),
        _ => format!("executes {}", first.call),
    };
    match rest.len() {
        0 => what,
        1 => format!("{what}, and 1 other call"),
        more => format!("{what}, and {more} other calls"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::unwind::{Cause, Ending};
    use crate::journal::{Undo, UndoState};
    use crate::model::time::from_micros;
    use crate::model::{BlockReason, CallId, Digest, Served, State};

    fn view(phase: Phase, state: State) -> RunView {
        RunView { version: Some("2".into()), ..RunView::of(phase, state) }
    }

    fn open(kind: EntryKind, key: &str, due: Option<i64>) -> Entry {
        let entry = Entry::new(CallId::new(key, 0), kind, EntryState::Started, from_micros(1));
        Entry { due_at: due.map(from_micros), ..entry }
    }

    fn failure(text: &str) -> Option<Payload> {
        Some(Payload::from_json_text(serde_json::to_string(&Failure::new(text)).unwrap()))
    }

    #[test]
    fn a_waiting_run_says_for_what() {
        let asleep = RunView { due_later: true, ..view(Phase::Forward, State::Waiting) };
        let sleep = open(EntryKind::Sleep, "sleep", Some(1_000_000));
        assert_eq!(why(&asleep, std::slice::from_ref(&sleep)), "waits until 1970-01-01 00:00:01 UTC (sleep#0)");
        let event = open(EntryKind::Event, "event:approved", None);
        let waiting = view(Phase::Forward, State::Waiting);
        assert_eq!(why(&waiting, std::slice::from_ref(&event)), "waits for event:approved#0");
        assert_eq!(
            why(&waiting, &[event, sleep, open(EntryKind::Child, "child:ship", None)]),
            format!(
                "waits for its child child:ship#0 (run {}), and 2 other calls",
                child_id(waiting.id, 0, &CallId::new("child:ship", 0))
            )
        );
        let again =
            Entry { attempts: 2, failure: failure("declined"), ..open(EntryKind::Step, "step:charge", Some(0)) };
        assert_eq!(
            why(&asleep, &[again]),
            "step:charge#0 is tried again at 1970-01-01 00:00:00 UTC, after attempt 2 failed: declined"
        );
        assert_eq!(why(&view(Phase::Forward, State::Owned), &[]), "is executed by a worker");
    }

    #[test]
    fn a_run_nobody_takes_names_the_next_move() {
        let missing = RunView { served: Served::MissingVersion, ..view(Phase::Forward, State::Ready) };
        assert_eq!(why(&missing, &[]), "no live worker has workflow checkout version 2: start one that has it");
        let blocked = RunView {
            block_reason: Some(BlockReason::Panic),
            failure: failure("it fell over"),
            ..view(Phase::Forward, State::Blocked)
        };
        assert_eq!(why(&blocked, &[]), "blocked_panic: it fell over");
        assert!(why(&view(Phase::Forward, State::Paused), &[]).contains("resume"));
    }

    #[test]
    fn an_undoing_run_says_what_it_undoes() {
        let done = Entry {
            seq: Some(1),
            state: EntryState::Completed,
            undo: Some(Undo { step: "step:refund".into(), digest: Digest(1), args: Payload::null() }),
            undo_state: Some(UndoState::Open),
            ..open(EntryKind::Step, "step:charge", None)
        };
        let turned = Ending::failed(Cause::Failed, Payload::null()).unwind_entry(2, from_micros(2));
        let undoing = view(Phase::Undo, State::Owned);
        assert_eq!(why(&undoing, &[done.clone(), turned.clone()]), "undoes step:charge#0 by step:refund");
        let ended = RunView { failure: failure("declined"), ..view(Phase::Ended, State::Compensated) };
        assert_eq!(why(&ended, &[done, turned]), "failed, and what it did was undone: declined");
    }
}
