//! Starts runs: born claimed where this worker has a free slot, else queued for whoever has one.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Engine;
use super::config::DATABASE_RETRY;
use super::session::Session;
use super::turn::Turn;
use super::writer::{Along, Item, Reply};
use crate::journal::History;
use crate::model::Phase;
use crate::store::{ClaimedRun, Mailbag, NewRun, RunImage, StartAnswer, StoreError};

/// How often a start outside the lanes is sent again before its caller hears of it.
const TRIES: u32 = 5;

impl Engine {
    /// Starts a run; when this returns it is durable.
    ///
    /// A run without a key is born claimed if this worker has a free slot: one commit and one row version less. With a
    /// key it goes outside the lanes, since another transaction on the same key must not stop a lane.
    ///
    /// # Errors
    /// `Refused`: nothing was started. `Unavailable`, `Busy`: start again with the same id or key.
    pub async fn start(self: &Arc<Self>, run: NewRun) -> Result<StartAnswer, StoreError> {
        let id = run.id;
        let session = self.session().filter(|session| session.is_fresh() && !self.is_draining());
        if let Some(session) = session.filter(|_| run.key.is_none() && run.definition.is_some() && run.delay.is_zero())
        {
            let (reply, durable) = oneshot::channel();
            let mut queued = false;
            match self.free_slot() {
                Some(permit) => self.bear(session, run.clone(), permit, reply),
                None => {
                    self.queue(&session, run.clone(), reply);
                    queued = true;
                }
            }
            match durable.await {
                Ok(Ok(())) => {
                    // Not before: a claim would not find it yet, and take it that there is nothing.
                    if queued {
                        self.runs_are_ready();
                    }
                    return Ok(StartAnswer { id, created: true });
                }
                Ok(Err(error)) => {
                    let source = error.to_string().into();
                    return Err(StoreError::Refused { call: "start", source });
                }
                // The lease was lost before an answer came: the same id settles whether the run exists.
                Err(_) => {}
            }
        }
        self.start_outside(&run).await
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
        run: NewRun,
        permit: OwnedSemaphorePermit,
        reply: super::turn::Born,
    ) {
        let Some((definition, workflow)) =
            run.definition.and_then(|definition| Some((definition, self.registry.workflow(definition)?)))
        else {
            return self.queue(&session, run, reply);
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
            deadline_at: run.deadline_at,
            paused: false,
            retries: 0,
        };
        let history = History::new(run.input.clone(), run.at);
        // Nobody knows its id yet, so nobody has written to it.
        let mail = Mailbag { run: run.id, mail: Vec::new(), complete: true };
        let turn = Turn::new(self.clone(), session, claimed, Some(workflow), history, mail, permit);
        self.spawn(turn.born(Box::new(run), reply));
    }

    fn queue(&self, session: &Session, run: NewRun, reply: super::turn::Born) {
        session.submit(Item {
            run: run.id,
            claim_no: 0,
            image: Some(RunImage::ready(0, run.needs)),
            birth: Some(Box::new(run)),
            writes: Vec::new(),
            along: Along::default(),
            reply: Reply::Start(reply),
            current: Arc::new(AtomicBool::new(true)),
        });
    }

    async fn start_outside(&self, run: &NewRun) -> Result<StartAnswer, StoreError> {
        let mut pause = DATABASE_RETRY.0;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.store.start_run(run).await {
                Ok(StartAnswer { id, created }) => {
                    // An id is never used twice, so a run that has it was made by this start, whose answer got lost.
                    let created = created || id == run.id;
                    if created {
                        self.runs_are_ready();
                        if !self.offers.iter().any(|offer| offer.needs == run.needs) {
                            self.hint_others();
                        }
                    }
                    return Ok(StartAnswer { id, created });
                }
                Err(error @ (StoreError::Unavailable { .. } | StoreError::Busy { .. })) if tries < TRIES => {
                    tracing::warn!(run = %run.id, %error, "a start had no answer; sending it again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(DATABASE_RETRY.1);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
