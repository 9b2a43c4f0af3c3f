//! Orders: what operators and parents ask of a run, whatever it is doing.
//!
//! An order is marked in the commit that obeys it, so one that was under way when a worker died is seen again. Of orders and
//! the end of the body whichever is committed first has won, and the owner commits both.
//!
//! An order is for the run as it was when the order was given. One from before the last retry is void: it is marked and not
//! obeyed.

use super::Turn;
use super::course::Course;
use crate::engine::drive::Stuck;
use crate::engine::leaving::Leaving;
use crate::engine::order::{Order, Settled};
use crate::engine::unwind::Cause;
use crate::engine::writer::Along;
use crate::journal::{Entry, EntryKind, EntryState, UndoState};
use crate::model::{BlockReason, CallId, Failure, FailureKind, State, Timestamp};
use crate::store::{Due, Mail, MailKind, Mark};

impl Turn {
    /// An order has come.
    pub(super) fn take_order(&mut self, mail: &Mail) {
        if !self.used.insert(mail.mail.id) {
            return;
        }
        if self.leaving.is_some() {
            // Used up if the run ends now. If it does not, the order is still there for the next turn.
            return self.came_late.push(mail.clone());
        }
        if self.is_void(mail) {
            return;
        }
        let order = Order::of(&mail.mail);
        tracing::info!(
            run = %self.run.id, order = ?mail.mail.kind, who = order.who, reason = order.reason, "an order has come"
        );
        let obeyed = Mark { mail: mail.mail.id, taken: true };
        match mail.mail.kind {
            MailKind::Cancel if matches!(self.course, Course::Forward(_)) => {
                self.orders.push(obeyed);
                let failure = order.failure(MailKind::Cancel);
                return self.stop(Cause::Cancelled, &failure);
            }
            kind @ (MailKind::Kill | MailKind::Retire) => {
                self.orders.push(obeyed);
                let cause = if kind == MailKind::Kill { Cause::Killed } else { Cause::Retired };
                self.steps.abort_all();
                let failure = order.failure(kind);
                return self.leave(Leaving::stopped(cause, &failure, &self.engine.config.limits));
            }
            MailKind::Deadline if self.deadline().is_some() => {
                self.orders.push(obeyed);
                return self.miss_deadline();
            }
            MailKind::Pause => {
                self.paused = true;
                return self.orders.push(obeyed);
            }
            MailKind::Resume => {
                self.paused = false;
                self.along.marks.append(&mut self.orders);
                // Whatever its row says of a pause is over.
                self.run.paused = false;
                self.image = Some(self.image_of_run());
                // What came before the body has begun was left where it is.
                self.look_for_all_mail();
            }
            MailKind::Retry => self.settle_undo(order.call.as_deref(), UndoState::Open),
            MailKind::Settle => {
                let state = match order.settled {
                    Some(Settled::Done) => UndoState::Done,
                    _ => UndoState::Skipped,
                };
                self.settle_undo(order.call.as_deref(), state);
            }
            // A run that is on its way back already goes no other way.
            _ => {}
        }
        self.along.marks.push(obeyed);
    }

    /// Of the orders that came while the run was about to end, the first that would have stopped it: with which cause, and with which
    /// failure.
    pub(in crate::engine) fn came_late_to_stop(&self) -> Option<(Cause, Failure)> {
        self.came_late.iter().filter(|mail| !mail.is_void(&self.run)).find_map(|mail| {
            let cause = match mail.mail.kind {
                MailKind::Cancel => Cause::Cancelled,
                MailKind::Kill => Cause::Killed,
                MailKind::Retire => Cause::Retired,
                _ => return None,
            };
            Some((cause, Order::of(&mail.mail).failure(mail.mail.kind)))
        })
    }

    /// Marks on the orders that came while the run was about to end.
    pub(in crate::engine) fn marks_of_late_orders(&self) -> impl Iterator<Item = Mark> {
        self.came_late.iter().map(|mail| Mark { mail: mail.mail.id, taken: true })
    }

    /// Whether this is an order from before the run's last retry; if so, it is used up.
    pub(super) fn is_void(&mut self, mail: &Mail) -> bool {
        let void = mail.is_void(&self.run);
        if void {
            tracing::info!(
                run = %self.run.id, order = ?mail.mail.kind, id = %mail.mail.id,
                "an order that was given before the run was retried is void"
            );
            self.along.marks.push(Mark { mail: mail.mail.id, taken: true });
        }
        void
    }

    /// Gives the run back if this worker has no workflow for it and no order has ended it. Another worker goes on with it.
    pub(super) fn give_back_without_workflow(&mut self) -> bool {
        let lacks = self.workflow.is_none() && matches!(self.course, Course::Forward(_));
        if lacks {
            self.leave(Leaving::Released(State::Ready, Due::Now, None));
        }
        lacks
    }

    /// An operator has decided about an undo that gave up.
    fn settle_undo(&mut self, call: Option<&str>, state: UndoState) {
        let call = call.and_then(|call| call.parse::<CallId>().ok());
        let Course::Undo(unwinding) = &mut self.course else { return self.settle_undo_in_body(call.as_ref(), state) };
        for entry in unwinding.settle(call.as_ref(), state) {
            let staged = self.entry(entry, false);
            self.stage(staged);
        }
    }

    /// Ends the run before its body has, undoing what it did. Whatever runs hears of it and may end within the grace time.
    pub(super) fn stop(&mut self, cause: Cause, failure: &Failure) {
        // A pause held up the body; undoing it would only keep what is not wanted any more.
        (self.paused, self.run.paused) = (false, false);
        let mut calls = self.steps.calls();
        calls.extend(self.waits.calls());
        // In the order they began: that is the order of their cancels, and of what people read.
        calls.sort();
        for call in &calls {
            if self.waits.get(call).is_some() {
                self.drop_call(call);
            } else {
                self.drop_step(call, true);
            }
        }
        self.abandon_children();
        self.leave(Leaving::stopped(cause, failure, &self.engine.config.limits));
    }

    /// Children of an earlier life of this run, whose calls this one has not made again.
    fn abandon_children(&mut self) {
        let Some(drive) = self.course.drive() else { return };
        let open = |entry: &&Entry| entry.kind == EntryKind::Child && entry.state == EntryState::Started;
        let open: Vec<_> = drive.replay().history().open_entries().filter(open).cloned().collect();
        for entry in open {
            self.abandon_child(&entry.call, entry.args_hash, entry.undo.is_some(), None);
        }
    }

    /// Too many workers died of this run: it is not executed again, unless somebody has just decided about it.
    pub(in crate::engine) fn refuse_if_poison(&mut self) {
        let Some(failure) = self.engine.poison(&self.run).filter(|_| self.waiting_orders.is_empty()) else { return };
        tracing::error!(run = %self.run.id, workflow = %self.run.workflow, "{failure}");
        match self.course {
            Course::Forward(_) => self.stop(Cause::Poison, &failure),
            Course::Undo(_) => {
                let message =
                    format!("{failure}; an operator may retry what it was undoing, skip it or mark it as done");
                self.leave(Leaving::Blocked(Stuck { reason: BlockReason::Compensation, message }));
            }
        }
    }

    /// The deadline of the run, while it goes forward.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match (&self.course, &self.leaving) {
            (Course::Forward(_), None) => self.run.deadline_at,
            _ => None,
        }
    }

    /// Stops the run if its deadline has passed.
    pub(super) fn check_deadline(&mut self) {
        if self.deadline().is_some_and(|deadline| deadline <= self.engine.clock.now()) {
            self.miss_deadline();
        }
    }

    fn miss_deadline(&mut self) {
        let deadline = self.run.deadline_at.map(|deadline| deadline.to_rfc3339()).unwrap_or_default();
        let failure = Failure::permanent(format!("the deadline of the run, {deadline}, has passed"));
        self.stop(Cause::Deadline, &failure.of_kind(FailureKind::TimedOut).with_code("deadline"));
    }

    /// Leaves as paused, once nothing runs any more.
    pub(super) fn rest(&mut self) {
        let marks = std::mem::take(&mut self.orders);
        self.along.extend(Along { marks, ..Along::default() });
        self.leave(Leaving::Released(State::Paused, Due::Never, None));
    }
}
