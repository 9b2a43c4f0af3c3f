//! Makes turns: of a run just born or claimed, on its way forward or back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::course::Course;
use super::dropped::Dropped;
use super::mail::Looked;
use super::{Born, Message, Turn};
use crate::engine::calls::Calls;
use crate::engine::definition::{Body, BodyFuture, WorkflowDefinition};
use crate::engine::drive::{Drive, Replayed};
use crate::engine::leaving::owned_image;
use crate::engine::mailbox::Mailbox;
use crate::engine::session::Session;
use crate::engine::steps::Steps;
use crate::engine::unwind::Unwinding;
use crate::engine::waits::Waits;
use crate::engine::waker::BodyWaker;
use crate::engine::writer::{Along, Starting};
use crate::engine::{ClaimId, Engine};
use crate::journal::History;
use crate::model::Timestamp;
use crate::store::{ClaimedRun, Mailbag};

impl Turn {
    /// A turn of `run` on its way forward, whose journal is `history` and whose mail is `mail`; it has not begun. Without a
    /// workflow it can only be ended by an order.
    pub fn new(
        engine: Arc<Engine>,
        session: Arc<Session>,
        run: ClaimedRun,
        workflow: Option<&'static WorkflowDefinition>,
        history: History,
        mail: Mailbag,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let channel = mpsc::unbounded_channel();
        let foreign = channel.0.clone();
        let waker = BodyWaker::new(move || drop(foreign.send(Message::ForeignWake)));
        let calls = Arc::new(Calls::of(run.seed, &history));
        let limits = engine.config.limits;
        let has_entries = !history.is_new();
        let body = Body { run: run.id, calls: calls.clone(), input: history.input().clone(), limits };
        let body: BodyFuture = match workflow {
            Some(workflow) => (workflow.run)(body),
            None => Box::pin(std::future::pending()),
        };
        let drive = Drive::new(body, calls.clone(), history, waker);
        let course = Course::Forward(Box::new(drive));
        let mut turn = Self::on(course, channel, engine, session, run, calls, mail, permit);
        (turn.has_entries, turn.workflow) = (has_entries, workflow);
        turn
    }

    /// A turn of `run` on its way back, by this plan; it has not begun.
    pub fn back(
        engine: Arc<Engine>,
        session: Arc<Session>,
        run: ClaimedRun,
        unwinding: Unwinding,
        mail: Mailbag,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let course = Course::Undo(Box::new(unwinding));
        Self::on(course, mpsc::unbounded_channel(), engine, session, run, Arc::default(), mail, permit)
    }

    #[allow(clippy::too_many_arguments)] // what a turn is made of, once
    fn on(
        course: Course,
        (outbox, inbox): (mpsc::UnboundedSender<Message>, mpsc::UnboundedReceiver<Message>),
        engine: Arc<Engine>,
        session: Arc<Session>,
        run: ClaimedRun,
        calls: Arc<Calls>,
        mail: Mailbag,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        // Held whether or not somebody asks: a run may go on before the program that resumes it has a handle of it.
        let counters = Some(engine.counters.hold(run.id));
        let run_is_paused = run.paused;
        let mut turn = Self {
            engine,
            session,
            run,
            inbox,
            outbox,
            current: Arc::new(AtomicBool::new(true)),
            course,
            workflow: None,
            calls,
            steps: Steps::default(),
            waits: Waits::default(),
            mailbox: Mailbox::empty(),
            looked: Looked::Until(Timestamp::MIN_UTC),
            handed_over: None,
            woken_by_mail: false,
            waiting_orders: Vec::new(),
            orders: Vec::new(),
            came_late: Vec::new(),
            paused: run_is_paused,
            dropped: Dropped::default(),
            begun: false,
            arrived: VecDeque::new(),
            noticing: HashSet::new(),
            used: HashSet::new(),
            staged: Vec::new(),
            along: Along::default(),
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
            noted: None,
            idle_since: None,
            park_at: None,
            polled_at: None,
            recheck_lease: None,
            permit: Some(permit),
            slot: None,
            has_entries: true,
            room: None,
            warned_of_length: false,
            counters,
            counted: Replayed::default(),
        };
        turn.open_mail(mail);
        turn
    }

    /// The same turn, whose run is inserted with its first write; `born` hears when that is durable.
    pub fn born(mut self, run: Box<Starting>, born: Born) -> Self {
        self.birth = Some(run);
        self.born = Some(born);
        self.image = Some(owned_image(&self.run));
        self
    }

    /// Which claim of which session it came by.
    pub(in crate::engine) fn claim_id(&self) -> ClaimId {
        ClaimId { session: self.session.worker, claim_no: self.run.claim_no }
    }

    /// Where to send it messages.
    pub fn sender(&self) -> mpsc::UnboundedSender<Message> {
        self.outbox.clone()
    }
}
