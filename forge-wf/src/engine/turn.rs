//! One claimed run, from replay to release.
//!
//! Takes a run with its journal, drives its body, starts its steps, hands what they return to the body and to the
//! writer, and ends in one of four ways ([`Leaving`]). Only the turn polls the body. It never touches the database
//! itself: all it wants written goes through its lane, and a step starts only when everything the body was handed
//! before is committed.

mod attempts;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Engine;
use super::calls::Calls;
use super::config::NOTE_WAITING_FROM;
use super::counters::Counters;
use super::definition::{Body, StepOutcome, WorkflowDefinition};
use super::drive::{Drive, Stuck};
use super::leaving::{Leaving, owned_image};
use super::session::Session;
use super::steps::Steps;
use super::waker::BodyWaker;
use super::writer::{Item, Reply, Staged};
use crate::journal::{Entry, History};
use crate::model::{CallId, State, Timestamp};
use crate::store::{ClaimedRun, Due, NewRun, RunImage, StoreError};

/// What a turn is told.
pub enum Message {
    /// Everything up to this ticket is durable.
    Committed(u64),
    /// The database refuses the data of a ticket not yet committed.
    Refused(u64, Arc<StoreError>),
    /// The run is owned by somebody else, or under another claim.
    NotYours,
    /// The task of an attempt has ended, with an outcome unless it was aborted.
    AttemptEnded(CallId, Option<StepOutcome>),
    /// Something that is not durable woke the body.
    ForeignWake,
    /// The worker shuts down: start nothing more, and leave when the running steps have ended.
    Drain,
    /// The grace time of the shutdown is over: abort the running steps.
    Abort,
    /// The lease is lost.
    Lost,
}

/// Whom to tell that a run born claimed is durable.
pub type Born = oneshot::Sender<Result<(), Arc<StoreError>>>;

/// One claimed run in memory.
pub struct Turn {
    pub(super) engine: Arc<Engine>,
    pub(super) session: Arc<Session>,
    pub(super) run: ClaimedRun,
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    pub(super) current: Arc<AtomicBool>,
    pub(super) drive: Drive,
    pub(super) steps: Steps,
    staged: Vec<Staged>,
    pub(super) image: Option<RunImage>,
    birth: Option<Box<NewRun>>,
    born: Option<Born>,
    /// The last ticket submitted, and the last one committed.
    pub(super) ticket: u64,
    pub(super) acked: u64,
    /// What was submitted and not committed, for salvage.
    pub(super) unacked: VecDeque<(u64, Vec<Staged>)>,
    pub(super) leaving: Option<Leaving>,
    pub(super) leave_ticket: Option<u64>,
    pub(super) leave_by: Instant,
    draining: bool,
    noted_waiting: bool,
    recheck_lease: Option<Instant>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Whether its journal holds, or is about to hold, more than its `start`.
    has_entries: bool,
    counters: Option<Arc<Counters>>,
    replayed_counted: u64,
}

impl Turn {
    /// A turn of `run`, whose journal is `history`; it has not begun.
    pub fn new(
        engine: Arc<Engine>,
        session: Arc<Session>,
        run: ClaimedRun,
        workflow: &'static WorkflowDefinition,
        history: History,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let foreign = outbox.clone();
        let waker = BodyWaker::new(move || drop(foreign.send(Message::ForeignWake)));
        let calls = Arc::new(Calls::default());
        let limits = engine.config.limits;
        let has_entries = !history.is_new();
        let body = Body { run: run.id, calls: calls.clone(), input: history.input().clone(), limits };
        let drive = Drive::new((workflow.run)(body), calls, history, waker);
        // Held whether or not somebody asks: a run may go on before the program that resumes it has a handle of it.
        let counters = Some(engine.counters.hold(run.id));
        Self {
            engine,
            session,
            run,
            inbox,
            outbox,
            current: Arc::new(AtomicBool::new(true)),
            drive,
            steps: Steps::default(),
            staged: Vec::new(),
            image: None,
            birth: None,
            born: None,
            ticket: 0,
            acked: 0,
            unacked: VecDeque::new(),
            leaving: None,
            leave_ticket: None,
            leave_by: Instant::now(),
            draining: false,
            noted_waiting: false,
            recheck_lease: None,
            permit: Some(permit),
            has_entries,
            counters,
            replayed_counted: 0,
        }
    }

    /// The same turn, whose run is inserted with its first write; `born` hears when that is durable.
    pub fn born(mut self, run: Box<NewRun>, born: Born) -> Self {
        self.birth = Some(run);
        self.born = Some(born);
        self.image = Some(owned_image(&self.run));
        self
    }

    /// Where to send it messages.
    pub fn sender(&self) -> mpsc::UnboundedSender<Message> {
        self.outbox.clone()
    }

    /// Drives the run until it leaves.
    pub async fn run(mut self) {
        self.advance().await;
        loop {
            self.prepare_to_leave();
            self.flush();
            if self.has_left().await {
                break;
            }
            self.start_held().await;
            match self.receive().await {
                Some(message) => {
                    self.handle(message).await;
                    while let Ok(message) = self.inbox.try_recv() {
                        self.handle(message).await;
                    }
                }
                None => self.fire_timers(),
            }
            self.settle();
        }
    }

    /// The next message, or `None` when a timer has fired.
    async fn receive(&mut self) -> Option<Message> {
        let leave_by = (self.leaving.is_some() && self.leave_ticket.is_none()).then_some(self.leave_by);
        let wake = [self.steps.next_timer(), self.recheck_lease, leave_by].into_iter().flatten().min();
        // The turn holds a sender of its own inbox, so the channel is never closed.
        match wake {
            Some(at) => tokio::time::timeout_at(at.into(), self.inbox.recv()).await.ok().flatten(),
            None => self.inbox.recv().await,
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Committed(ticket) => {
                self.acked = self.acked.max(ticket);
                while self.unacked.front().is_some_and(|(ticket, _)| *ticket <= self.acked) {
                    self.unacked.pop_front();
                }
                if let Some(born) = self.born.take() {
                    let _ = born.send(Ok(()));
                }
            }
            Message::Refused(_, error) => match self.born.take() {
                Some(born) => {
                    let _ = born.send(Err(error));
                    self.leave(Leaving::Lost);
                }
                None => self.leave(Leaving::Salvage(error)),
            },
            Message::NotYours | Message::Lost => {
                self.current.store(false, Ordering::Release);
                self.leave(Leaving::Lost);
            }
            Message::AttemptEnded(call, outcome) => self.attempt_ended(call, outcome).await,
            Message::ForeignWake if self.leaving.is_none() => {
                if let Err(stuck) = self.drive.check_foreign() {
                    self.leave(Leaving::Blocked(stuck));
                }
            }
            Message::ForeignWake => {}
            Message::Drain => self.draining = true,
            Message::Abort => {
                self.draining = true;
                if self.leaving.is_none() {
                    self.leave(self.release());
                }
            }
        }
    }

    /// Polls the body until it waits, and takes up what it asks for.
    async fn advance(&mut self) {
        loop {
            let progress = match self.drive.advance() {
                Ok(progress) => progress,
                Err(stuck) => return self.stuck(stuck),
            };
            for call in &progress.dropped {
                self.steps.drop_call(call);
            }
            for start in progress.starts {
                self.begin(start);
            }
            self.count_replayed();
            if let Some(result) = progress.finished {
                let at = self.now();
                return self.leave(Leaving::ended(
                    result,
                    self.drive.replay().next_seq(),
                    at,
                    &self.engine.config.limits,
                ));
            }
            if !progress.more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn stuck(&mut self, stuck: Stuck) {
        tracing::error!(run = %self.run.id, workflow = %self.run.workflow, reason = stuck.reason.name(), "{}", stuck.message);
        self.leave(Leaving::Blocked(stuck));
    }

    /// Once nothing runs: gives the slot back, or parks the run, or leaves for the shutdown.
    fn settle(&mut self) {
        if self.leaving.is_some() || self.steps.any_task() {
            return;
        }
        if self.draining {
            return self.leave(self.release());
        }
        let Some(due) = self.steps.all_wait_until() else { return };
        let wait = (due - self.now()).to_std().unwrap_or_default();
        if wait > self.engine.config.park_for {
            return self.leave(self.release());
        }
        if wait >= NOTE_WAITING_FROM && !self.noted_waiting {
            self.noted_waiting = true;
            self.image = Some(RunImage { state: State::Waiting, due: Due::At(due), ..owned_image(&self.run) });
        }
        if self.permit.take().is_some() {
            self.engine.slot_is_free();
        }
    }

    /// Whether its journal holds nothing but its `start`, what is staged included.
    pub(super) fn is_new(&self) -> bool {
        !self.has_entries && self.staged.is_empty()
    }

    /// Sends what is staged to the lane.
    pub(super) fn flush(&mut self) {
        if !self.staged.is_empty() || self.image.is_some() || self.birth.is_some() {
            self.ticket += 1;
            let writes = std::mem::take(&mut self.staged);
            self.has_entries |= !writes.is_empty();
            self.unacked.push_back((self.ticket, writes.clone()));
            self.submit(writes);
        }
        self.steps.hold_for(self.ticket);
    }

    /// Sends these writes, with the image and the birth that wait, under the present ticket.
    pub(super) fn submit(&mut self, writes: Vec<Staged>) {
        self.session.submit(Item {
            run: self.run.id,
            generation: self.run.generation,
            claim_no: self.run.claim_no,
            birth: self.birth.take(),
            image: self.image.take(),
            writes,
            reply: Reply::Turn(self.outbox.clone(), self.ticket),
            current: self.current.clone(),
        });
    }

    /// Adds an entry to what the next flush writes.
    pub(super) fn stage(&mut self, entry: Entry, fresh: bool) {
        self.staged.push(Staged { entry, fresh });
    }

    /// Now, by the database's clock as far as known, and never before the last entry.
    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock.now().max(self.drive.replay().now())
    }

    fn count_replayed(&mut self) {
        let replayed = self.drive.replayed_steps();
        if let Some(counters) = &self.counters {
            counters.replayed(replayed - self.replayed_counted);
        }
        self.replayed_counted = replayed;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            self.engine.counters.release(self.run.id, counters);
        }
    }
}
