//! How a turn ends: the run's end, blocked, released, lost, or salvaged after the database refused something.
//!
//! A turn leaves in this order: it closes its body, aborts its steps, waits until their tasks have ended, writes the
//! run's last image, waits until that is durable, and is gone. A lost run is left without writing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::calls::Saved;
use super::child;
use super::config::Config;
use super::drive::Stuck;
use super::random;
use super::turn::{Course, Message, Turn, pieces};
use super::unwind::{Cause, Ending, Unwinding, cause_of};
use super::waiters::Outcome;
use super::writer::{Along, Staged};
use crate::journal::{Entry, EntryKind, EntryState, History, UndoState};
use crate::model::failure::RESULT_UNUSABLE;
use crate::model::{BlockReason, CallId, Failure, Limits, Payload, Phase, State, Timestamp};
use crate::store::{ClaimedRun, Due, Mark, RunImage, StoreError};

/// How a turn ends.
pub enum Leaving {
    /// Nothing is left but to undo, or to end.
    Ended(Box<Ending>),
    /// It has an end: this entry, in this state.
    Over(Box<Entry>, State),
    /// It turns back: the next claim undoes what it did, from the journal alone.
    TurnedBack,
    /// The body cannot go on with this code.
    Blocked(Stuck),
    /// The run goes on as its next generation: the `end` of this one and the `start` of that.
    Continued(Box<[Entry; 2]>),
    /// Any worker may take it, when it is due. With it, what keeps it waiting though it has mail.
    Released(State, Due, Option<Payload>),
    /// Somebody else owns it, or soon will: nothing is written.
    Lost,
    /// The database refused something this run wrote: save what can be saved, then release it.
    Salvage(Arc<StoreError>),
}

impl Leaving {
    /// The end of a run that failed, or that somebody or something stopped.
    pub fn stopped(cause: Cause, failure: &Failure, limits: &Limits) -> Self {
        Self::Ended(Box::new(Ending::failed(cause, failure.to_payload(limits))))
    }

    /// The end of a generation whose next one begins with `input` and with what was saved so far.
    pub fn continued(input: Payload, seq: i32, at: Timestamp, saved: &Saved) -> Self {
        let end = Entry::of_result(CallId::new("end", 0), EntryKind::End, Ok(Payload::null()), seq, at);
        let mut start = Entry::start(input, at);
        start.args = History::saved_as_args(saved);
        Self::Continued(Box::new([end, start]))
    }
}

/// The image of a run this worker executes.
pub fn owned_image(run: &ClaimedRun) -> RunImage {
    RunImage { phase: run.phase, state: State::Owned, keep: true, ..RunImage::ready(run.generation, run.needs) }
}

/// The image of a claimed run that is given back without being executed: due at `due`, or still paused.
pub fn given_back_image(run: &ClaimedRun, due: Due) -> RunImage {
    let back = RunImage { keep: false, ..owned_image(run) };
    if run.paused {
        return RunImage { state: State::Paused, due: Due::Never, block_reason: Some(BlockReason::Paused), ..back };
    }
    RunImage { state: State::Ready, due, ..back }
}

/// The image of a run that cannot go on with this code.
pub fn blocked_image(run: &ClaimedRun, stuck: &Stuck, config: &Config) -> RunImage {
    let failure = Failure::permanent(&stuck.message).with_code(format!("blocked_{}", stuck.reason.name()));
    RunImage {
        state: State::Blocked,
        keep: false,
        due: Due::Never,
        block_reason: Some(stuck.reason),
        blocked_build: Some(config.build.clone()),
        failure: Some(failure.to_payload(&config.limits)),
        ..owned_image(run)
    }
}

/// What became of one write of a salvage.
enum Written {
    /// It is durable.
    Durable,
    /// The database refuses it.
    Refused,
    /// The run is somebody else's, or soon will be: nobody answers any more, and nothing more is to be written.
    Lost,
}

impl Turn {
    /// Begins to leave. The first reason counts, but a lost run writes nothing whatever it was about to do.
    pub(super) fn leave(&mut self, leaving: Leaving) {
        let counts = match (&self.leaving, &leaving) {
            (None, _) | (Some(_), Leaving::Lost) => true,
            (Some(Leaving::Lost), _) => false,
            (Some(_), Leaving::Salvage(_)) => true,
            (Some(_), _) => false,
        };
        if counts {
            self.leaving = Some(leaving);
            self.leave_ticket = None;
            self.leave_by = Instant::now() + self.engine.config.grace;
        }
        self.course.close();
        // What may end by itself before the run does is let go already, but for what the body does not know of.
        if let Some(call) = self.dropped.take_undoing() {
            self.steps.let_go(&call, self.leave_by);
        }
        if !matches!(self.leaving, Some(Leaving::Ended(_))) {
            self.steps.abort_all();
        }
    }

    /// The image of the run while this turn has it: on the way back with the failure that turned it.
    pub(super) fn image_of_run(&self) -> RunImage {
        let failure = match &self.course {
            Course::Forward(_) => None,
            Course::Undo(unwinding) => unwinding.ending().result.as_ref().err().cloned(),
        };
        // While it is paused an order may be all that it was claimed for.
        let block_reason = self.run.paused.then_some(BlockReason::Paused);
        RunImage { failure, block_reason, ..owned_image(&self.run) }
    }

    fn last_image(&self, state: State, due: Due) -> RunImage {
        RunImage { state, due, keep: false, ..self.image_of_run() }
    }

    /// Stages the run's last image, once its tasks have ended.
    pub(super) fn prepare_to_leave(&mut self) {
        if self.leaving.is_none() || self.leave_ticket.is_some() || !self.tasks_have_ended() {
            return;
        }
        match self.leaving.as_ref().expect("checked above") {
            Leaving::Ended(ending) => {
                let ending = (**ending).clone();
                self.turn_back_or_end(ending);
            }
            Leaving::Continued(entries) => {
                let [end, start] = (**entries).clone();
                let generation = self.run.generation + 1;
                let image = RunImage::ready(generation, self.run.needs);
                let seed = Some(random::next_seed(self.run.seed, generation));
                // Its journal will hold only its start, so code of another version may take it from here.
                self.image = Some(RunImage { unbind: true, seed, ..image });
                self.stage(self.entry(end, true));
                self.stage(Staged { generation, joined: true, ..self.entry(start, true) });
            }
            Leaving::Blocked(stuck) => self.image = Some(blocked_image(&self.run, stuck, &self.engine.config)),
            Leaving::Released(state, due, problem) => {
                // A step that was only shown as started is an entry too: code that does not make it must not take it up.
                let unbind = self.is_new() && *state == State::Ready;
                let block_reason = (*state == State::Paused).then_some(BlockReason::Paused);
                let image = RunImage { block_reason, ..self.last_image(*state, *due) };
                self.image = Some(RunImage { unbind, failure: problem.clone().or(image.failure.clone()), ..image });
            }
            Leaving::Lost | Leaving::Salvage(_) | Leaving::Over(..) | Leaving::TurnedBack => return,
        }
        // The flush that follows gives it the next ticket.
        self.leave_ticket = Some(self.ticket + 1);
    }

    /// Turns back if something is to be undone, and ends the run if not.
    fn turn_back_or_end(&mut self, ending: Ending) {
        let (seq, at) = (self.course.next_seq(), self.now());
        let (turns_back, state) = match &mut self.course {
            _ if ending.cause.undoes_nothing() => (None, Unwinding::new(ending.clone(), []).end_state()),
            Course::Undo(unwinding) => (None, unwinding.end_state()),
            Course::Forward(drive) => {
                let undoable = drive.replay().history().undoable();
                let unwinding = Unwinding::new(ending.clone(), undoable);
                (unwinding.needs(), unwinding.end_state())
            }
        };
        // What it obeys by ending.
        let mut marks = std::mem::take(&mut self.orders);
        if let Some(needs) = turns_back {
            // Only the image says so: if the database refuses this, the run is still on its way forward.
            let image = RunImage { phase: Phase::Undo, needs: Some(needs), ..self.last_image(State::Ready, Due::Now) };
            self.image = Some(RunImage { failure: ending.result.as_ref().err().cloned(), ..image });
            let mut staged = self.entry(ending.unwind_entry(seq, at), true);
            staged.along.marks = marks;
            self.stage(staged);
            self.leaving = Some(Leaving::TurnedBack);
            return;
        }
        // And what came too late to be obeyed: no later generation is to find it.
        marks.extend(self.marks_of_late_orders());
        let entry = ending.end_entry(seq, at);
        let image = self.last_image(state, Due::Never);
        self.image = Some(RunImage { phase: Phase::Ended, needs: None, failure: entry.failure.clone(), ..image });
        self.leaving = Some(Leaving::Over(Box::new(entry.clone()), state));
        let commands = self.commands_to_children(ending.cause);
        let mut staged = self.end(entry);
        staged.along.marks = marks;
        staged.along.sent.extend(commands);
        self.stage(staged);
    }

    /// Whether all step tasks have ended; past the grace time, whether to go on without them.
    fn tasks_have_ended(&mut self) -> bool {
        if !self.steps.any_task() {
            return true;
        }
        if Instant::now() < self.leave_by {
            return false;
        }
        if self.steps.any_let_go() {
            // They had their time.
            self.steps.abort_all();
            self.leave_by = Instant::now() + self.engine.config.grace;
            return false;
        }
        let stuck: Vec<_> = self.steps.with_task().map(ToString::to_string).collect();
        tracing::error!(
            run = %self.run.id, steps = stuck.join(", "),
            "these steps were aborted and have not ended; they probably block a thread without awaiting"
        );
        if matches!(self.leaving, Some(Leaving::Released(..) | Leaving::Salvage(_))) {
            // Another worker must not run beside them: the run is left to the end of the lease.
            self.engine.left_behind(self.run.id);
            self.leaving = Some(Leaving::Lost);
        }
        true
    }

    /// Whether the turn is over; then it has said so to whoever waits for the run.
    pub(super) async fn has_left(&mut self) -> bool {
        let Some(leaving) = &self.leaving else { return false };
        let done = match leaving {
            Leaving::Lost => self.tasks_have_ended(),
            Leaving::Salvage(_) => self.tasks_have_ended(),
            _ => self.leave_ticket.is_some_and(|ticket| self.acked >= ticket),
        };
        if !done {
            return false;
        }
        let mut given_back = true;
        let outcome = match self.leaving.take() {
            Some(Leaving::Salvage(error)) => {
                // Rare, and large: not to be part of every turn.
                Box::pin(self.salvage(&error)).await;
                None
            }
            Some(Leaving::Continued(_) | Leaving::TurnedBack) => None,
            Some(Leaving::Released(_, due, _)) => {
                if let Due::At(due) = due {
                    self.engine.run_is_due(due);
                }
                None
            }
            ended => {
                given_back = false;
                match ended {
                    Some(Leaving::Over(entry, state)) => Some(Outcome::ended(*entry, state)),
                    Some(Leaving::Blocked(stuck)) => Some(Outcome::Blocked(stuck)),
                    _ => None,
                }
            }
        };
        self.current.store(false, Ordering::Release);
        // Before others hear of it: they come for the slot.
        self.permit = None;
        self.engine.turn_ended(self.run.id, self.claim_id(), outcome);
        if given_back {
            // Mail that came since this turn took the last makes the run due already, and nobody else was told of that.
            self.engine.runs_are_ready();
        }
        true
    }

    /// Writes what the run has recorded since its last commit entry by entry, with each what belongs to it, up to the one the
    /// database refuses. If it is known to refuse the data, that one becomes a failure the body can see, and the run is released,
    /// to be rebuilt by replay. If it refuses for a reason that is not known (a trigger that raises, say), if no body would see
    /// the failure, or if the body has returned its result, the run is blocked: an operator decides. A run that has done all its
    /// work is not undone because its end cannot be written.
    async fn salvage(&mut self, refused: &Arc<StoreError>) {
        self.current = Arc::new(std::sync::atomic::AtomicBool::new(true));
        // What was read and obeyed meanwhile, and belongs to no entry. Without its mark, a retry would make the run due at once.
        for unacked in &mut self.unacked {
            self.along.marks.append(&mut unacked.along.marks);
        }
        if matches!(self.course, Course::Undo(_)) {
            // Nobody is there to see a failure of these records.
            return self.block_refused(refused).await;
        }
        let explained = matches!(**refused, StoreError::Refused { .. });
        let unacked = std::mem::take(&mut self.unacked);
        let mut groups: VecDeque<_> = unacked.into_iter().flat_map(|unacked| pieces::groups(unacked.writes)).collect();
        if groups.is_empty() {
            // Its row is refused, or what belongs to no entry: replay would only come to the same point again.
            return self.block_refused(refused).await;
        }
        while let Some(mut group) = groups.pop_front() {
            let kind = group[0].entry.kind;
            if !matches!(kind, EntryKind::End | EntryKind::Unwind) {
                match self.write(group.clone(), Along::default(), None).await {
                    Written::Durable => continue,
                    Written::Refused => {}
                    Written::Lost => return,
                }
            }
            // The body sees no failure of an undo's record, and what was found out must not be taken for not done.
            if !explained || matches!(kind, EntryKind::Undo | EntryKind::Resolve) {
                return self.block_refused(refused).await;
            }
            if has_result(&group[0].entry) {
                return self.stop_or_block_with_result(refused).await;
            }
            let staged = &mut group[0];
            let entry = &mut staged.entry;
            if entry.state == EntryState::Started {
                // What cannot even begin on record has failed, before whatever was recorded after it began.
                let later = groups.iter().flatten().filter_map(|staged| staged.entry.seq).min();
                entry.seq = Some(later.unwrap_or_else(|| self.course.next_seq()));
            }
            // What it wanted to bring into the world may be what is refused.
            (staged.along.births, staged.along.sent) = (Vec::new(), Vec::new());
            let did = if entry.state == EntryState::Started { "cannot begin, since" } else { "did its work, but" };
            let failure = Failure::unusable(
                RESULT_UNUSABLE,
                format!("{} of run {} {did} the database refuses its record: {refused}", entry.call, self.run.id),
            );
            let payload = failure.to_payload(&self.engine.config.limits);
            if matches!(entry.kind, EntryKind::End | EntryKind::Unwind) {
                let cause = cause_of(entry).unwrap_or(Cause::Failed);
                let marks = std::mem::take(&mut staged.along.marks);
                return self.end_refused(Ending::failed(cause, payload), marks, refused).await;
            }
            entry.state = EntryState::Failed;
            (entry.output, entry.args, entry.failure) = (None, None, Some(payload));
            let mut written = self.write(group.clone(), Along::default(), None).await;
            if let (Written::Refused, Some(undo)) = (&written, &mut group[0].entry.undo) {
                // What it takes to undo it is refused, too: an operator decides.
                undo.args = Payload::null();
                group[0].entry.undo_state = Some(UndoState::Failed);
                written = self.write(group, Along::default(), None).await;
            }
            match written {
                Written::Durable => break,
                Written::Lost => return,
                Written::Refused => return self.block_refused(refused).await,
            }
        }
        let image = self.last_image(State::Ready, Due::Now);
        let marks = std::mem::take(&mut self.along.marks);
        let along = Along { states: self.calls.all_saved().into_iter().collect(), marks, ..Along::default() };
        if let Written::Refused = self.write(Vec::new(), along, Some(image)).await {
            self.block_refused(refused).await;
        }
    }

    /// Ends the run, or turns it back, although the database refuses what it wanted to end with.
    async fn end_refused(&mut self, ending: Ending, marks: Vec<Mark>, refused: &StoreError) {
        self.turn_back_or_end(ending);
        let (writes, image) = (std::mem::take(&mut self.staged), self.image.take());
        if let Written::Refused = self.write(writes, Along { marks, ..Along::default() }, image).await {
            self.block_refused(refused).await;
        }
    }

    async fn block_refused(&mut self, refused: &StoreError) {
        self.block_with(format!("the database refuses what the run has to write: {refused}")).await;
    }

    /// The body has returned its result, and that cannot be written. An order to stop the run is obeyed: it has not ended before.
    async fn stop_or_block_with_result(&mut self, refused: &StoreError) {
        if let Some((cause, failure)) = self.came_late_to_stop() {
            let marks = self.marks_of_late_orders().collect();
            let ending = Ending::failed(cause, failure.to_payload(&self.engine.config.limits));
            return self.end_refused(ending, marks, refused).await;
        }
        let message = format!(
            "the workflow has returned its result, and the database refuses the end of the run: {refused}; remove the cause, then retry \
             the run, which ends with that result; to cancel it undoes what it did"
        );
        self.block_with(message).await;
    }

    async fn block_with(&mut self, message: String) {
        let stuck = Stuck { reason: BlockReason::Refused, message };
        let image = blocked_image(&self.run, &stuck, &self.engine.config);
        let marks = std::mem::take(&mut self.along.marks);
        let along = Along { marks, ..Along::default() };
        if let Written::Refused = self.write(Vec::new(), along, Some(image.clone())).await {
            // The marks may be what is refused.
            let _ = self.write(Vec::new(), Along::default(), Some(image)).await;
        }
    }

    /// The end of the run, and with it the answer to whoever called it.
    fn end(&self, entry: Entry) -> Staged {
        let answer = child::result_mail(self.run.id, self.run.parent.as_ref(), &entry);
        let mut staged = self.entry(entry, true);
        staged.along.sent.extend(answer);
        staged
    }

    /// Writes and waits for the answer to this very write: one batch may have refused several items of the run before.
    async fn write(&mut self, writes: Vec<Staged>, along: Along, image: Option<RunImage>) -> Written {
        self.ticket += 1;
        self.image = image;
        self.submit(writes, along);
        loop {
            match self.inbox.recv().await {
                Some(Message::Committed(ticket)) if ticket >= self.ticket => return Written::Durable,
                Some(Message::Refused(ticket, _)) if ticket >= self.ticket => {
                    self.current = Arc::new(std::sync::atomic::AtomicBool::new(true));
                    return Written::Refused;
                }
                Some(Message::NotYours | Message::Lost) | None => return Written::Lost,
                Some(_) => {}
            }
        }
    }
}

/// Whether this is written because the body has returned its result.
fn has_result(entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::End => entry.state == EntryState::Completed,
        EntryKind::Unwind => cause_of(entry) == Some(Cause::Dropped),
        _ => false,
    }
}
