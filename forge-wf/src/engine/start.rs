//! Starts runs: born claimed where this worker has a free slot, else queued for whoever has one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Engine;
use super::config::DATABASE_RETRY;
use super::pauses::Pauses;
use super::session::Session;
use super::turn::{Message, Turn};
use super::writer::{Along, Handover, Item, Reply, Starting};
use crate::journal::History;
use crate::model::Phase;
use crate::store::{ClaimedRun, Mailbag, NewRun, RunImage, StartAnswer, Store, StoreError};

/// How often a start with a key is sent again before its caller hears of it.
const TRIES: u32 = 5;

/// How a run is started.
#[derive(Clone, Copy, Debug)]
pub struct HowToStart {
    /// Whether a run of this id may be there, of an earlier try of the caller.
    pub again: bool,
    /// How often it is sent; `None`: until the deadline.
    pub tries: Option<u32>,
    /// When its caller hears that there was no answer.
    pub deadline: Instant,
}

/// Why a start did not succeed.
#[derive(Debug)]
pub enum StartFailure {
    /// The run does not exist, and will not.
    NotStarted(StoreError),
    /// There was no answer: the run may exist, or come to exist.
    Unanswered(StoreError),
}

/// The way to take a start back while nothing has been sent.
struct Withdrawal {
    handover: Arc<Handover>,
    current: Arc<AtomicBool>,
    turn: Option<mpsc::UnboundedSender<Message>>,
}

impl Withdrawal {
    /// Whether the start is withdrawn; not if it was handed to the database.
    fn withdraw(&self) -> bool {
        let withdrawn = self.handover.withdraw();
        if withdrawn {
            self.current.store(false, Ordering::Release);
            if let Some(turn) = &self.turn {
                let _ = turn.send(Message::Lost);
            }
        }
        withdrawn
    }
}

impl Engine {
    /// Starts a run; when this returns it is durable.
    ///
    /// A run without a key is born claimed if this worker has a free slot: one commit and one row version less. With a
    /// key, or if a run of its id may be there, it goes outside the lanes, since another transaction on the same key must not stop a
    /// lane.
    ///
    /// # Errors
    /// See [`StartFailure`]. Starting again with the same id or key makes no second run.
    pub async fn start(self: &Arc<Self>, run: NewRun, how: HowToStart) -> Result<StartAnswer, StartFailure> {
        let id = run.id;
        let in_lane = run.key.is_none() && !how.again && run.definition.is_some() && run.delay.is_zero();
        let session = self.session().filter(|session| in_lane && session.is_fresh() && !self.is_draining());
        let mut unanswered = false;
        if let Some(session) = session {
            let (reply, mut durable) = oneshot::channel();
            let start = Box::new(Starting { run: run.clone(), handover: Arc::default() });
            let permit = self.free_slot();
            let queued = permit.is_none();
            let withdrawal = match permit {
                Some(permit) => self.bear(session, start, permit, reply),
                None => self.queue(&session, start, reply),
            };
            let answer = match timeout_at(how.deadline, &mut durable).await {
                Ok(answer) => answer.ok(),
                Err(_) if withdrawal.withdraw() => return Err(StartFailure::NotStarted(withdrawn())),
                // It may have come at the last moment.
                Err(_) => match durable.try_recv() {
                    Ok(answer) => Some(answer),
                    Err(_) => return Err(StartFailure::Unanswered(unanswered_in_time())),
                },
            };
            match answer {
                Some(Ok(())) => {
                    // Not before: a claim would not find it yet, and take it that there is nothing.
                    if queued {
                        self.runs_are_ready();
                    }
                    return Ok(StartAnswer { id, created: true });
                }
                Some(Err(error)) => {
                    let source = error.to_string().into();
                    return Err(StartFailure::NotStarted(StoreError::Refused { call: "start", source }));
                }
                // The lease was lost before an answer came: the same id settles whether the run exists.
                None => unanswered = !withdrawal.withdraw(),
            }
        }
        let keyed = run.key.is_some();
        let how = HowToStart { tries: how.tries.or(keyed.then_some(TRIES)), ..how };
        let answer = send_start(&*self.store, &run, how, unanswered).await?;
        if answer.created {
            self.runs_are_ready();
            if !self.offers.iter().any(|offer| offer.needs == run.needs) {
                self.hint_others();
            }
        }
        Ok(answer)
    }

    fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        if !self.has_room() {
            return None;
        }
        self.slots.clone().try_acquire_owned().ok()
    }

    fn bear(
        self: &Arc<Self>,
        session: Arc<Session>,
        start: Box<Starting>,
        permit: OwnedSemaphorePermit,
        reply: super::turn::Born,
    ) -> Withdrawal {
        let run = &start.run;
        let Some((definition, workflow)) =
            run.definition.and_then(|definition| Some((definition, self.registry.workflow(definition)?)))
        else {
            return self.queue(&session, start, reply);
        };
        let claimed = ClaimedRun {
            id: run.id,
            claim_no: 0,
            generation: 0,
            seed: run.seed,
            workflow: run.workflow.clone(),
            definition: Some(definition),
            needs: run.needs,
            phase: Phase::Forward,
            takeovers: 0,
            parent: run.parent.clone(),
            // The row gets the database's own time, which this is about.
            deadline_at: run.deadline_from(self.clock.now()),
            paused: false,
            retries: 0,
        };
        let history = History::new(run.input.clone(), run.at);
        // Nobody knows its id yet, so nobody has written to it.
        let mail = Mailbag { run: run.id, mail: Vec::new(), complete: true };
        let turn = Turn::new(self.clone(), session, claimed, Some(workflow), history, mail, permit);
        let (handover, current) = (start.handover.clone(), turn.current.clone());
        let withdrawal = Withdrawal { handover, current, turn: Some(turn.sender()) };
        self.spawn(turn.born(start, reply));
        withdrawal
    }

    fn queue(&self, session: &Session, start: Box<Starting>, reply: super::turn::Born) -> Withdrawal {
        let current = Arc::new(AtomicBool::new(true));
        let withdrawal = Withdrawal { handover: start.handover.clone(), current: current.clone(), turn: None };
        session.submit(Item {
            run: start.run.id,
            claim_no: 0,
            image: Some(RunImage::ready(0, start.run.needs)),
            birth: Some(start),
            writes: Vec::new(),
            along: Along::default(),
            reply: Reply::Start(reply),
            current,
        });
        withdrawal
    }
}

/// Sends a start outside the lanes until the database answers, or for as long and as often as it may be sent. `unanswered` says that
/// it was sent before, without an answer.
///
/// # Errors
/// See [`StartFailure`].
pub async fn send_start(
    store: &dyn Store,
    run: &NewRun,
    how: HowToStart,
    mut unanswered: bool,
) -> Result<StartAnswer, StartFailure> {
    let mut pauses = Pauses::new(DATABASE_RETRY);
    let mut tries = 0;
    loop {
        tries += 1;
        // A store call goes on in a task of its own when nobody waits for it any more.
        let answer = timeout_at(how.deadline, store.start_run(run)).await;
        let error = match answer.unwrap_or_else(|_| Err(unanswered_in_time())) {
            Ok(StartAnswer { id, created }) => {
                // An id is used for one start only, so a run that has it was made by this one, whose answer got lost.
                let created = created || (id == run.id && (!how.again || tries > 1));
                return Ok(StartAnswer { id, created });
            }
            Err(error) => error,
        };
        unanswered |= matches!(error, StoreError::Unavailable { .. });
        let pause = pauses.take();
        match &error {
            StoreError::Unavailable { .. } | StoreError::Busy { .. }
                if how.tries.is_none_or(|most| tries < most) && Instant::now() + pause < how.deadline =>
            {
                tracing::warn!(run = %run.id, %error, "a start had no answer; sending it again");
                tokio::time::sleep(pause).await;
            }
            // Had an earlier try been written, this one would have found it.
            StoreError::Refused { .. } => return Err(StartFailure::NotStarted(error)),
            _ if unanswered => return Err(StartFailure::Unanswered(error)),
            _ => return Err(StartFailure::NotStarted(error)),
        }
    }
}

fn unanswered_in_time() -> StoreError {
    StoreError::Unavailable {
        call: "start",
        source: "the database gave no answer within the time a start may take".into(),
    }
}

fn withdrawn() -> StoreError {
    let what =
        "the database took nothing within the time a start may take; the start was withdrawn, and there is no run";
    StoreError::Unavailable { call: "start", source: what.into() }
}
