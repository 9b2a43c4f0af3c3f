//! One claimed run, from replay to release.
//!
//! Takes a run with its journal and its mail, drives its body, starts its steps, keeps its waits, hands what comes of them
//! to the body and to the writer, and ends in one of several ways ([`Leaving`]). Only the turn polls the body. It never
//! touches the database itself: all it wants written goes through its lane, and a step starts only when everything the body
//! was handed before is committed.

mod attempts;
mod begin;
mod children;
mod course;
mod dropped;
mod idle;
mod mail;
mod orders;
pub mod pieces;
mod saga;
mod undo;
mod waits;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use uuid::Uuid;

pub use self::course::Course;
use self::dropped::Dropped;
use self::idle::Noted;
use self::mail::Looked;
use self::waits::Ready;
use super::Engine;
use super::calls::Calls;
use super::clock::Moment;
use super::compensate;
use super::counters::Counters;
use super::definition::{StepOutcome, WorkflowDefinition};
use super::drive::{Finished, Replayed, Stuck};
use super::leaving::Leaving;
use super::mailbox::Mailbox;
use super::room::Held;
use super::session::Session;
use super::steps::Steps;
use super::unwind::{Cause, Ending};
use super::waits::Waits;
use super::writer::{Along, Item, Reply, Staged, Starting};
use crate::journal::Entry;
use crate::model::limits::FLUSH_BYTES_MAX;
use crate::model::{BlockReason, CallId, Payload, State, Timestamp};
use crate::store::{ClaimedRun, Mail, Mailbag, Mark, RunImage, StoreError};

/// What a turn is told. Small: the channel of every waiting run has room for dozens of them.
pub enum Message {
    /// Everything up to this ticket is durable.
    Committed(u64),
    /// The database refuses the data of a ticket not yet committed.
    Refused(u64, Arc<StoreError>),
    /// The run is owned by somebody else, or under another claim.
    NotYours,
    /// The task of an attempt has ended, with an outcome unless it was aborted.
    AttemptEnded(CallId, Option<Box<StepOutcome>>),
    /// Mail for the run.
    Mail(Box<Mail>),
    /// That was all the mail a look for all runs has found for this one; whether there may be more behind it.
    HandedOver { more: bool },
    /// Events of this name, as the database holds them; `None` if that could not be found out.
    Loaded(Arc<str>, Option<Box<Mailbag>>),
    /// The look for the run's own mail that the turn asked for is over, and what it found was sent before; whether there may be
    /// more behind it.
    Looked { more: bool },
    /// More is ready to be handed over.
    GoOn,
    /// Something that is not durable woke the body.
    ForeignWake,
    /// The worker shuts down: start nothing more, and leave when the running steps have ended.
    Drain,
    /// The grace time of the shutdown is over: abort the running steps.
    Abort,
    /// The lease is lost.
    Lost,
}

const _: () = assert!(size_of::<Message>() <= 48, "box what is large and rare");

/// Whom to tell that a run born claimed is durable.
pub type Born = oneshot::Sender<Result<(), Arc<StoreError>>>;

/// What was submitted and is not known to be committed.
pub struct Unacked {
    ticket: u64,
    pub(super) writes: Vec<Staged>,
    pub(super) along: Along,
}

/// One claimed run in memory.
pub struct Turn {
    pub(super) engine: Arc<Engine>,
    pub(super) session: Arc<Session>,
    pub(super) run: ClaimedRun,
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    pub(super) current: Arc<AtomicBool>,
    pub(super) course: Course,
    /// The body's definition, on the way forward.
    workflow: Option<&'static WorkflowDefinition>,
    pub(super) calls: Arc<Calls>,
    pub(super) steps: Steps,
    waits: Waits,
    mailbox: Mailbox,
    looked: Looked,
    /// Whether it was handed mail and has not reported that its marks are written; if so, whether there may be more.
    handed_over: Option<bool>,
    /// Whether mail, perhaps besides other things, made the run due.
    woken_by_mail: bool,
    /// Orders that came with the run, before its body has begun.
    waiting_orders: Vec<Mail>,
    /// Marks on orders that are being obeyed.
    pub(super) orders: Vec<Mark>,
    /// Orders that came once the turn was leaving: marked by the commit that ends the run, if this does.
    pub(super) came_late: Vec<Mail>,
    /// Whether it starts nothing more until it is told to.
    paused: bool,
    pub(super) dropped: Dropped,
    /// Whether its body was polled, or undoing has begun.
    begun: bool,
    /// Waits that have their outcome and are to be told, in this order.
    arrived: VecDeque<(CallId, Ready)>,
    /// Mail whose mark as noticed is under way.
    noticing: HashSet<Uuid>,
    /// Mail that was used up: a look from before may show it once more.
    used: HashSet<Uuid>,
    pub(super) staged: Vec<Staged>,
    pub(super) along: Along,
    pub(super) image: Option<RunImage>,
    birth: Option<Box<Starting>>,
    born: Option<Born>,
    /// The last ticket submitted, and the last one committed.
    pub(super) ticket: u64,
    pub(super) acked: u64,
    /// What was submitted and not committed, for salvage.
    pub(super) unacked: VecDeque<Unacked>,
    pub(super) leaving: Option<Leaving>,
    pub(super) leave_ticket: Option<u64>,
    pub(super) leave_by: Instant,
    draining: bool,
    noted: Option<Noted>,
    idle_since: Option<Instant>,
    park_at: Option<Instant>,
    /// The moment in which the timers of the last poll have begun, once one has.
    polled_at: Option<Moment>,
    recheck_lease: Option<Instant>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// The slot it waits for, while a step may start.
    slot: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
    /// Whether its journal holds, or is about to hold, more than its `start`.
    has_entries: bool,
    /// The room its journal takes until it is replayed.
    room: Option<Held>,
    warned_of_length: bool,
    counters: Option<Arc<Counters>>,
    counted: Replayed,
}

impl Turn {
    /// Drives the run until it leaves.
    pub async fn run(mut self: Box<Self>) {
        for order in std::mem::take(&mut self.waiting_orders) {
            self.take_order(&order);
        }
        self.check_deadline();
        self.begin_course().await;
        loop {
            // First what has come: a run that is about to leave memory may have been claimed for just that.
            while let Ok(message) = self.inbox.try_recv() {
                self.handle(message).await;
            }
            self.begin_course().await;
            self.give_room_back();
            self.deliver_ready().await;
            self.undo_dropped();
            self.settle();
            self.prepare_to_leave();
            self.flush();
            self.go_on_with_mail();
            if self.has_left().await {
                break;
            }
            self.start_held();
            match self.receive().await {
                Some(message) => self.handle(message).await,
                None => {
                    self.fire_timers();
                    self.check_deadline();
                }
            }
        }
    }

    /// Keeps the room of its journal until that is replayed, or is not to be.
    pub(super) fn keep_room_until_read(&mut self, room: Held) {
        self.room = Some(room);
    }

    fn give_room_back(&mut self) {
        let unread = self.course.drive().is_some_and(|drive| !drive.replay().is_live());
        if !unread || self.leaving.is_some() {
            self.room = None;
        }
    }

    /// Polls the body for the first time, or begins to undo, unless orders keep the run from it.
    async fn begin_course(&mut self) {
        if self.begun || self.leaving.is_some() || self.paused {
            return;
        }
        if self.give_back_without_workflow() {
            return;
        }
        self.begun = true;
        self.advance().await;
        // What was saved before the last recorded result is published already.
        if self.course.drive().is_some_and(|drive| drive.replay().history().last().is_some()) {
            self.calls.take_unpublished();
        }
        self.unwind();
    }

    /// The next message, or `None` when a timer has fired.
    async fn receive(&mut self) -> Option<Message> {
        let leave_by = (self.leaving.is_some() && self.leave_ticket.is_none()).then_some(self.leave_by);
        let may_fire = self.may_deliver() && !self.is_looking();
        let due = if may_fire { self.next_timer() } else { None };
        let deadline = self.deadline().map(|deadline| self.instant_of(deadline));
        let wake = [self.steps.next_timer(), due, self.recheck_lease, leave_by, self.park_at, deadline];
        // The turn holds a sender of its own inbox, so the channel is never closed.
        let wake = wake.into_iter().flatten().min();
        if let Some(slot) = &mut self.slot {
            let woken = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                message = self.inbox.recv() => return message,
                permit = slot => self.permit = permit,
                () = woken => return None,
            }
            self.slot = None;
            return None;
        }
        match wake {
            Some(at) => tokio::time::timeout_at(at.into(), self.inbox.recv()).await.ok().flatten(),
            None => self.inbox.recv().await,
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Committed(ticket) => self.committed(ticket),
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
            Message::Mail(mail) => self.take_mail(*mail),
            Message::Loaded(name, bag) => self.take_loaded(&name, bag),
            Message::HandedOver { more } => self.handed_over = Some(more),
            Message::Looked { more } => self.take_looked(more),
            Message::GoOn => {}
            Message::ForeignWake if self.leaving.is_none() => {
                if let Some(Err(stuck)) = self.course.drive().map(|drive| drive.check_foreign()) {
                    self.leave(Leaving::Blocked(stuck));
                }
            }
            Message::ForeignWake => {}
            Message::Drain => self.draining = true,
            Message::Abort => {
                self.draining = true;
                if self.leaving.is_none() {
                    let release = self.release();
                    self.leave(release);
                }
            }
        }
    }

    fn committed(&mut self, ticket: u64) {
        self.acked = self.acked.max(ticket);
        let mut sent = Vec::new();
        let mut children = false;
        while self.unacked.front().is_some_and(|unacked| unacked.ticket <= self.acked) {
            let Some(Unacked { writes, along, .. }) = self.unacked.pop_front() else { break };
            for along in writes.into_iter().map(|staged| staged.along).chain([along]) {
                children |= !along.births.is_empty();
                sent.extend(along.sent);
                for mark in along.marks {
                    self.noticing.remove(&mark.mail);
                }
            }
        }
        if let Some(born) = self.born.take() {
            let _ = born.send(Ok(()));
        }
        if children {
            self.engine.runs_are_ready();
        }
        self.engine.posted(sent);
    }

    /// Polls the body until it waits, and takes up what it asks for.
    async fn advance(&mut self) {
        self.idle_since = None;
        loop {
            let Some(drive) = self.course.drive() else { return };
            self.polled_at = None;
            let progress = match drive.advance() {
                Ok(progress) => progress,
                Err(stuck) => return self.stuck(stuck),
            };
            for call in &progress.dropped {
                self.drop_call(call);
            }
            for start in progress.starts {
                // One that cannot begin ends the turn, and what never began is not to be recorded as begun.
                if self.leaving.is_none() {
                    self.begin(start);
                }
            }
            self.count_replayed();
            if let Some(finished) = progress.finished {
                let (at, seq) = (self.now(), self.course.next_seq());
                let leaving = match finished {
                    Finished::Returned(Ok(output)) => self.completed(output),
                    Finished::Returned(Err(failure)) => {
                        Leaving::stopped(Cause::Failed, &failure, &self.engine.config.limits)
                    }
                    Finished::Continued(input) => Leaving::continued(input, seq, at, &self.calls.all_saved()),
                };
                return self.leave(leaving);
            }
            if !progress.more {
                return self.check_length();
            }
            tokio::task::yield_now().await;
        }
    }

    /// The body has done its work; what it dropped on the way is to be undone.
    fn completed(&mut self, output: Payload) -> Leaving {
        let called = self.run.parent.as_ref().is_some_and(|parent| parent.call.is_some());
        let workflow = self.workflow.filter(|_| called);
        let undone_by = workflow
            .zip(self.course.drive())
            .and_then(|(workflow, drive)| compensate::of_child(workflow, drive.replay().history().input(), &output));
        Leaving::Ended(Box::new(Ending { cause: Cause::Dropped, result: Ok(output), undone_by }))
    }

    pub(super) fn stuck(&mut self, stuck: Stuck) {
        tracing::error!(run = %self.run.id, workflow = %self.run.workflow, reason = stuck.reason.name(), "{}", stuck.message);
        self.leave(Leaving::Blocked(stuck));
    }

    /// A journal without end would eat the memory of every worker that takes the run over.
    fn check_length(&mut self) {
        let limit = self.engine.config.journal_limit;
        let length = self.course.next_seq() as usize - 1;
        let advice = "end this journal now and then with `ctx.continue_as_new(..)`, or raise `journal_limit`";
        if length >= limit {
            let message = format!("its journal has {length} entries, and {limit} are allowed: {advice}");
            self.stuck(Stuck { reason: BlockReason::JournalLimit, message });
        } else if length >= limit / 2 && !std::mem::replace(&mut self.warned_of_length, true) {
            tracing::warn!(
                run = %self.run.id, workflow = %self.run.workflow, length, limit,
                "the journal of this run grows long: {advice}"
            );
        }
    }

    /// Whether its journal holds nothing but its `start`, what is staged included.
    pub(super) fn is_new(&self) -> bool {
        !self.has_entries && self.staged.is_empty()
    }

    /// Sends what is staged to the lane.
    pub(super) fn flush(&mut self) {
        self.along.states.extend(self.calls.take_unpublished());
        if !self.staged.is_empty() || !self.along.is_empty() || self.image.is_some() || self.birth.is_some() {
            let leaves = self.leave_ticket == Some(self.ticket + 1);
            let (writes, along) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.along));
            self.has_entries |= !writes.is_empty();
            let mut pieces = pieces::cut(writes, FLUSH_BYTES_MAX);
            let last = pieces.pop().unwrap_or_default();
            for piece in pieces {
                // Only with the last piece is the run what its row is to say.
                let image = self.image.take();
                let as_born = |start: &Starting| RunImage {
                    state: State::Owned,
                    keep: true,
                    ..RunImage::ready(0, start.run.needs)
                };
                self.image = self.birth.as_deref().map(as_born);
                self.submit_staged(piece, Along::default());
                self.image = image;
            }
            self.submit_staged(last, along);
            if leaves {
                self.leave_ticket = Some(self.ticket);
            }
        }
        self.steps.hold_for(self.ticket);
    }

    /// Sends these writes under the next ticket, and keeps them until they are committed.
    fn submit_staged(&mut self, writes: Vec<Staged>, along: Along) {
        self.ticket += 1;
        self.unacked.push_back(Unacked { ticket: self.ticket, writes: writes.clone(), along: along.clone() });
        self.submit(writes, along);
    }

    /// Sends these writes, with the image and the birth that wait, under the present ticket.
    pub(super) fn submit(&mut self, writes: Vec<Staged>, along: Along) {
        self.session.submit(Item {
            run: self.run.id,
            claim_no: self.run.claim_no,
            birth: self.birth.take(),
            image: self.image.take(),
            writes,
            along,
            reply: Reply::Turn(self.outbox.clone(), self.ticket),
            current: self.current.clone(),
        });
    }

    /// Adds an entry to what the next flush writes. One that is there already is replaced: a flush writes each row once.
    pub(super) fn stage(&mut self, staged: Staged) {
        let same =
            |earlier: &Staged| earlier.entry.call == staged.entry.call && earlier.generation == staged.generation;
        let place = if staged.fresh { None } else { self.staged.iter().rposition(same) };
        let last = match place {
            None => staged,
            // To the end: what is written one by one after a refusal is written in the order of its seq.
            Some(place) => {
                let mut earlier = self.staged.remove(place);
                (earlier.entry, earlier.joined) = (staged.entry, staged.joined);
                earlier.along.extend(staged.along);
                earlier
            }
        };
        self.staged.push(last);
    }

    /// An entry of this generation, to be staged.
    pub(super) fn entry(&self, entry: Entry, fresh: bool) -> Staged {
        Staged { generation: self.run.generation, entry, fresh, joined: false, along: Along::default() }
    }

    /// Adds entries to what the next flush writes, all of them in one commit.
    pub(super) fn stage_together(&mut self, entries: impl IntoIterator<Item = (Entry, bool)>) {
        for (place, (entry, fresh)) in entries.into_iter().enumerate() {
            let staged = Staged { joined: place > 0, ..self.entry(entry, fresh) };
            self.stage(staged);
        }
    }

    /// Now, by the database's clock as far as known, and never before the last entry.
    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock.now().max(self.course.now())
    }

    fn count_replayed(&mut self) {
        let Some(drive) = self.course.drive() else { return };
        let replayed = drive.replayed();
        if let Some(counters) = &self.counters {
            let (steps, entries) = (replayed.steps - self.counted.steps, replayed.entries - self.counted.entries);
            counters.replayed(steps, entries);
        }
        self.counted = replayed;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            self.engine.counters.release(self.run.id, counters);
        }
    }
}
