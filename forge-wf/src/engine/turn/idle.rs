//! What a turn does while its run only waits: gives its slot back, says so in its row, and leaves memory after a while.

use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Turn;
use crate::engine::config::NOTE_WAITING_FROM;
use crate::engine::leaving::Leaving;
use crate::model::{Payload, State};
use crate::store::{Due, RunImage};

/// What the run's row says of its waiting.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Noted {
    due: Due,
    problem: Option<Payload>,
}

impl Turn {
    /// Once nothing runs: gives the slot back, or parks the run, or leaves for the shutdown.
    pub(super) fn settle(&mut self) {
        self.park_at = None;
        if self.leaving.is_some() || self.steps.any_task() {
            return;
        }
        if self.draining {
            let release = self.release();
            return self.leave(release);
        }
        if self.paused {
            return self.rest();
        }
        let Some(due) = self.idle_until() else {
            self.idle_since = None;
            return;
        };
        let wait = match due {
            Due::At(due) => (due - self.engine.clock.now()).to_std().unwrap_or_default(),
            Due::Now | Due::Never => Duration::MAX,
        };
        let alone = self.is_alone();
        // Until it has got further: then it is no suspect any more, which the next claim notices.
        if alone && wait < NOTE_WAITING_FROM && self.acked == 0 {
            return;
        }
        // When a run that is to be alone goes on, it needs all slots again: it is claimed for that.
        if alone || self.is_to_park(wait) {
            let problem = self.unfit_event();
            return self.leave(Leaving::Released(State::Waiting, due, problem));
        }
        self.note_waiting(due, wait);
        self.free_slot();
    }

    /// Whether it is a suspect that is executed alone: it has all slots.
    fn is_alone(&self) -> bool {
        let slots = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        slots >= self.engine.config.concurrency && self.engine.is_suspect(&self.run)
    }

    /// Somebody else may work meanwhile.
    pub(super) fn free_slot(&mut self) {
        if self.permit.take().is_some() {
            self.engine.slot_is_free();
        }
    }

    /// Whether it is to leave memory now; if not, and it may have to later, wakes the turn then.
    fn is_to_park(&mut self, wait: Duration) -> bool {
        let park_for = self.engine.config.park_for;
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if park_for.is_zero() {
            return true;
        }
        if wait >= NOTE_WAITING_FROM && self.engine.is_crowded() {
            return true;
        }
        // Staying for a while would not make it quicker when it is due; but where mail comes, more may follow.
        if !self.waits.any_open_ended() && !self.awaits_child() && !self.woken_by_mail {
            return wait > park_for;
        }
        let park_at = since.checked_add(park_for);
        self.park_at = park_at;
        park_at.is_some_and(|at| at <= Instant::now())
    }

    /// Says in the run's row that it waits, and for what, unless that is over soon.
    fn note_waiting(&mut self, due: Due, wait: Duration) {
        let note = Noted { due, problem: self.unfit_event() };
        if wait < NOTE_WAITING_FROM || self.noted.as_ref() == Some(&note) {
            return;
        }
        let failure = note.problem.clone();
        let image = self.image_of_run();
        let failure = failure.or(image.failure.clone());
        self.image = Some(RunImage { state: State::Waiting, due, failure, ..image });
        self.noted = Some(note);
    }

    /// The run's row is to say again that it is executed, if it said otherwise.
    pub(super) fn note_executing(&mut self) {
        if self.noted.take().is_some() {
            self.image = Some(self.image_of_run());
            self.flush();
        }
    }

    /// When it is due, if all that is left are waits and steps that wait for another attempt.
    fn idle_until(&mut self) -> Option<Due> {
        let nothing = self.waits.is_empty() && self.steps.is_empty() && !self.awaits_child();
        if nothing || !self.steps.all_wait() || self.mailbox.is_loading() || self.has_ready() {
            return None;
        }
        let due = [self.steps.first_due(), self.waits.first_due(), self.deadline()].into_iter().flatten().min();
        Some(due.map_or(Due::Never, Due::At))
    }

    /// How to release it: when it is due again.
    pub(in crate::engine) fn release(&mut self) -> Leaving {
        if self.run.paused {
            return Leaving::Released(State::Paused, Due::Never, None);
        }
        match self.idle_until() {
            Some(due) => Leaving::Released(State::Waiting, due, self.unfit_event()),
            None => Leaving::Released(State::Ready, Due::Now, None),
        }
    }
}
