//! The children of a run that is killed or retired: they end with it, and undo nothing either.
//!
//! The commands travel in the commit that ends the run, so a crash loses none. Each child does the same for its own children, so a
//! whole tree ends from its root. Detached children go on.

use std::collections::BTreeSet;

use super::Turn;
use super::course::Course;
use crate::engine::child;
use crate::engine::unwind::Cause;
use crate::engine::waits::WaitsFor;
use crate::model::CallId;
use crate::store::{MailKind, NewMail};

impl Turn {
    /// What a run that ends for this cause sends to its children: nothing, unless it was killed or retired.
    pub(in crate::engine) fn commands_to_children(&mut self, cause: Cause) -> Vec<NewMail> {
        let kind = match cause {
            Cause::Killed => MailKind::Kill,
            Cause::Retired => MailKind::Retire,
            Cause::Failed | Cause::Cancelled | Cause::Deadline | Cause::Poison | Cause::Dropped => return Vec::new(),
        };
        let (run, generation) = (self.run.id, self.run.generation);
        let children = self.unanswered_children();
        children.iter().map(|call| child::end_mail(child::child_id(run, generation, call), kind, run)).collect()
    }

    /// The calls whose attached children have not answered. A child that was begun by an earlier turn, whose call the body has not made
    /// again, is among them; so is one that the body has dropped and that undoes what it did.
    fn unanswered_children(&mut self) -> BTreeSet<CallId> {
        let has_answered = |call: &CallId| self.arrived.iter().any(|(arrived, _)| arrived == call);
        let is_attached = |call: &CallId| {
            // Without a row it was not begun, or it is detached.
            let wait = self.waits.get(call).filter(|wait| wait.row);
            wait.is_some_and(|wait| matches!(wait.waits_for, WaitsFor::Child { .. }))
        };
        let mut calls: BTreeSet<_> = self.waits.calls().filter(is_attached).collect();
        match &mut self.course {
            Course::Forward(drive) => {
                let open = drive.replay().history().open_entries().filter(|entry| entry.awaits_child());
                calls.extend(open.map(|entry| entry.call.clone()));
            }
            Course::Undo(unwinding) => calls.extend(unwinding.awaited_children().cloned()),
        }
        calls.retain(|call| !has_answered(call));
        calls
    }
}
