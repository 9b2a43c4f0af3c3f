//! What is undone, in which order, and what is left alone.

use super::*;
use crate::model::time::from_micros;

fn undo(digest: u128) -> Option<Undo> {
    Some(Undo { step: "step:undo".into(), digest: Digest(digest), args: Payload::null() })
}

fn step(key: &str, seq: Option<i32>, at: i64, state: Option<UndoState>) -> Entry {
    let entry = Entry::new(CallId::new(key, 0), EntryKind::Step, EntryState::Completed, from_micros(at));
    Entry { seq, undo: undo(at as u128), undo_state: state, ..entry }
}

fn unwinding(cause: Cause, entries: Vec<Entry>) -> Unwinding {
    let unwind = Ending::failed(cause, Payload::null()).unwind_entry(9, from_micros(9));
    Unwinding::load([entries, vec![unwind]].concat()).unwrap()
}

/// Does all that is to be done, and says what in which order.
fn order(unwinding: &mut Unwinding) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        let record = match unwinding.next() {
            Next::Undo { entry, .. } => {
                Entry::new(undo_call(&entry.call), EntryKind::Undo, EntryState::Completed, from_micros(10))
            }
            Next::Resolve { entry, .. } => {
                let call = resolve_call(&entry.call);
                let record = Entry::new(call, EntryKind::Resolve, EntryState::Completed, from_micros(10));
                Entry { undo: undo(7), undo_state: Some(UndoState::Open), ..record }
            }
            Next::Stuck { entry, .. } => {
                order.push(format!("stuck at {}", entry.call));
                return order;
            }
            Next::Await { .. } => unreachable!("no child here"),
            Next::End => return order,
        };
        order.push(record.call.to_string());
        let changed = unwinding.record(record);
        let resolved = changed.iter().skip(1).filter(|entry| entry.kind == EntryKind::Resolve).count();
        assert_eq!(changed.len() - resolved, if changed[0].kind == EntryKind::Undo { 2 } else { 1 });
    }
}

#[test]
fn the_newest_is_undone_first_and_what_has_no_outcome_before_all() {
    let open = |key, at| Entry { state: EntryState::Abandoned, ..step(key, None, at, Some(UndoState::Open)) };
    let mut unwinding = unwinding(
        Cause::Failed,
        vec![
            step("step:a", Some(1), 1, Some(UndoState::Open)),
            step("step:b", Some(3), 1, Some(UndoState::Open)),
            step("step:c", Some(2), 1, Some(UndoState::Done)),
            open("step:d", 2),
            open("step:e", 3),
        ],
    );
    let expected = ["undo:step:e#0", "undo:step:d#0", "undo:step:b#0", "undo:step:a#0"];
    assert_eq!(order(&mut unwinding), expected);
    assert_eq!((unwinding.end_state(), unwinding.next_seq()), (State::Compensated, 14));
}

#[test]
fn what_is_in_doubt_is_found_out_and_then_undone() {
    let doubtful = || Entry { state: EntryState::Started, ..step("step:charge", None, 1, None) };
    let mut both = unwinding(Cause::Cancelled, vec![doubtful()]);
    assert_eq!(both.needs(), Some(Digest(1)), "first its own step");
    assert_eq!(order(&mut both), ["resolve:step:charge#0", "undo:step:charge#0"]);
    assert_eq!(both.end_state(), State::Cancelled);

    let mut not_done = unwinding(Cause::Failed, vec![doubtful()]);
    let call = resolve_call(&CallId::new("step:charge", 0));
    not_done.record(Entry::new(call.clone(), EntryKind::Resolve, EntryState::Failed, from_micros(10)));
    assert_eq!((not_done.next(), not_done.end_state()), (Next::End, State::Failed));

    let mut unknown = unwinding(Cause::Failed, vec![doubtful()]);
    unknown.give_up(Entry::new(call, EntryKind::Resolve, EntryState::Started, from_micros(10)));
    assert!(matches!(unknown.next(), Next::Stuck { prior: Some(_), .. }));

    let mut poison = unwinding(Cause::Poison, vec![doubtful()]);
    assert_eq!(order(&mut poison), ["stuck at step:charge#0"]);
}

#[test]
fn what_was_found_out_about_is_undone_by_that_and_says_so() {
    let charge = CallId::new("step:charge", 0);
    let doubtful = Entry { state: EntryState::Started, ..step("step:charge", None, 1, None) };
    let resolve = Entry::new(resolve_call(&charge), EntryKind::Resolve, EntryState::Completed, from_micros(10));
    let resolve = Entry { undo: undo(7), undo_state: Some(UndoState::Open), ..resolve };
    let record = |state| Entry::new(undo_call(&charge), EntryKind::Undo, state, from_micros(11));
    let states = |changed: Vec<Entry>| -> Vec<_> {
        changed.into_iter().map(|entry| (entry.call.to_string(), entry.undo_state)).collect()
    };
    let of = |undo_state| {
        let named = |call: &str| (call.to_owned(), Some(undo_state));
        [named("step:charge#0"), named("resolve:step:charge#0")]
    };
    let mut unwinding = unwinding(Cause::Failed, vec![doubtful]);
    unwinding.record(resolve);
    assert_eq!(unwinding.needs(), Some(Digest(7)));
    let gave_up = unwinding.give_up(record(EntryState::Started));
    assert_eq!(states(gave_up)[1..], of(UndoState::Failed));
    assert_eq!(states(unwinding.settle(None, UndoState::Open))[1..], of(UndoState::Open));
    assert_eq!(unwinding.needs(), Some(Digest(7)), "tried again is what undoes it, and not the step itself");
    assert_eq!(states(unwinding.record(record(EntryState::Completed)))[1..], of(UndoState::Done));
    assert_eq!((unwinding.next(), unwinding.end_state()), (Next::End, State::Compensated));
}

#[test]
fn an_undo_that_gives_up_holds_up_all_that_is_older() {
    let all = ["step:a", "step:b"].into_iter().zip(1..);
    let all = all.map(|(key, seq)| step(key, Some(seq), 1, Some(UndoState::Open))).collect();
    let mut unwinding = unwinding(Cause::Failed, all);
    let failed = Entry::new(CallId::new("undo:step:b", 0), EntryKind::Undo, EntryState::Started, from_micros(10));
    let changed = unwinding.give_up(failed);
    assert_eq!(changed[1].undo_state, Some(UndoState::Failed));
    assert_eq!(order(&mut unwinding), ["stuck at step:b#0"]);
}

#[test]
fn a_completed_run_undoes_only_what_its_body_dropped() {
    let dropped = Entry { state: EntryState::Abandoned, ..step("step:a", None, 1, Some(UndoState::Open)) };
    let unwind = good(None).unwind_entry(9, from_micros(9));
    let kept = step("step:b", Some(1), 1, Some(UndoState::Open));
    let mut unwinding = Unwinding::load(vec![kept, dropped, unwind]).unwrap();
    assert_eq!(order(&mut unwinding), ["undo:step:a#0"]);
    assert_eq!((unwinding.end_state(), &unwinding.ending().result), (State::Completed, &Ok(Payload::null())));
}

fn good(undone_by: Option<Recipe>) -> Ending {
    Ending { cause: Cause::Dropped, result: Ok(Payload::null()), undone_by }
}

fn recipe(state: UndoState) -> Option<Recipe> {
    Some(Recipe { undo: undo(5)?, state })
}

#[test]
fn a_child_that_was_asked_to_end_is_awaited_and_undone_if_it_had_done_its_work() {
    let call = CallId::new("child:ship", 0);
    let entry = Entry::new(call.clone(), EntryKind::Child, EntryState::Abandoned, from_micros(1));
    let undone = |recipe| {
        let mut failed = unwinding(Cause::Failed, vec![entry.clone()]);
        assert!(matches!(failed.next(), Next::Await { .. }));
        assert!(failed.child_ended(&call, recipe).is_some());
        assert_eq!(failed.child_ended(&call, None), None, "that was known");
        order(&mut failed)
    };
    assert_eq!(undone(None), [""; 0]);
    assert_eq!(undone(recipe(UndoState::Open)), ["undo:child:ship#0"]);
    assert_eq!(undone(recipe(UndoState::Failed)), ["stuck at child:ship#0"]);
}

#[test]
fn a_completed_run_waits_only_for_children_it_may_have_to_undo() {
    let child = Entry::new(CallId::new("child:ship", 0), EntryKind::Child, EntryState::Abandoned, from_micros(1));
    let next = |child: Entry| Unwinding::new(good(None), [child]).needs();
    assert_eq!(next(child.clone()), None);
    assert_eq!(next(Entry { undo: undo(1), ..child }), Some(ANYONE));
}

#[test]
fn how_others_undo_a_run_is_kept_while_it_turns_back() {
    let unwind = good(recipe(UndoState::Open)).unwind_entry(1, from_micros(9));
    let unwinding = Unwinding::load(vec![unwind]).unwrap();
    assert_eq!(unwinding.next(), Next::End, "it does not undo itself");
    assert_eq!(unwinding.ending().end_entry(2, from_micros(9)).recipe(), recipe(UndoState::Open));
}

#[test]
fn a_journal_that_does_not_say_why_is_corrupt() {
    assert!(Unwinding::load(vec![step("step:a", Some(1), 1, None)]).is_err());
}
