//! [`WorkflowContext`]: what a workflow body is given.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::definition::{Event, NamedEvents, NotAWorkflowOrHelper, Root, Uses, Workflow};
use super::wait::{EventCall, SleepCall};
use crate::engine::calls::Calls;
use crate::engine::random::{self, WorkflowRng};
use crate::model::failure::{ARGUMENTS_UNUSABLE, WORK_IN_FLIGHT};
use crate::model::limits::{NAME_BYTES_MAX, check_name};
use crate::model::{Failure, Limits, Payload, RunId, Timestamp};

/// The first parameter of every workflow and helper: through it they make durable calls.
///
/// Written without its parameter: the macros fill in the workflow or helper it belongs to, and with it the proof that
/// the signature names every step called through it. It is borrowed and cannot be cloned, so a durable call cannot
/// be moved into a task of its own, where its order would not be the same on replay.
///
/// What else the body may await, and what belongs into a step, is said in [`awaiting`](crate::awaiting).
///
/// What it gives besides (the time, random numbers, the run's id) is the same on every replay, and costs no write.
pub struct WorkflowContext<W = NotAWorkflowOrHelper> {
    pub(crate) calls: Arc<Calls>,
    pub(crate) run: RunId,
    pub(crate) limits: Limits,
    /// The saga this is the context of; 0 is the body.
    pub(crate) saga: u32,
    owner: PhantomData<fn() -> W>,
}

impl<W> WorkflowContext<W> {
    pub(crate) fn new(calls: Arc<Calls>, run: RunId, limits: Limits) -> Self {
        Self { calls, run, limits, saga: 0, owner: PhantomData }
    }

    /// The same context within this saga, or for another function of the same run.
    pub(crate) fn within<V>(&self, saga: u32) -> WorkflowContext<V> {
        WorkflowContext { saga, ..WorkflowContext::new(self.calls.clone(), self.run, self.limits) }
    }

    /// The id of this run.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// The time of the last recorded result the body was handed (before the first: when the run was started), by the
    /// database's clock as its worker knew it. It never goes back, and between two durable calls it stands still.
    pub fn now(&self) -> Timestamp {
        self.calls.now()
    }

    /// A random UUID of version 4 (RFC 9562), another one at each call. Not for secrets: it follows from the run's seed, which
    /// is in the database.
    pub fn uuid(&self) -> Uuid {
        let (seed, number) = self.calls.next_uuid();
        random::uuid(seed, number)
    }

    /// A generator of random numbers, another one at each call. Not for secrets, as [`WorkflowContext::uuid`].
    pub fn rng(&self) -> WorkflowRng {
        let (seed, number) = self.calls.next_generator();
        random::generator(seed, number)
    }

    /// Waits this long. The time when it is over is kept in the journal, by the database's clock: a restart neither moves it
    /// nor waits anew. The run costs a row meanwhile and no memory.
    ///
    /// # Errors
    /// When awaited, `time_out_of_range` if it is longer than ten years.
    pub fn sleep(&self, wait: Duration) -> SleepCall<'_> {
        SleepCall::after(&self.calls, wait)
    }

    /// Waits until then, by the database's clock; a time that has passed is over at once.
    ///
    /// # Errors
    /// When awaited, `time_out_of_range` if it lies more than ten years ahead.
    pub fn sleep_until(&self, time: Timestamp) -> SleepCall<'_> {
        SleepCall::until(&self.calls, time)
    }

    /// Waits for an event of this type, and takes the oldest that no wait has taken: also one that came before the wait. Of
    /// two waits the one that was polled first takes the first event.
    ///
    /// An event by JSON whose payload does not fit is kept and the run waits on, until somebody drops or replaces it; it and
    /// what to do about it is in the log, and in [`RunHandle::problem`](crate::RunHandle::problem).
    pub fn wait_for_event<E: Event>(&self) -> EventCall<'_, E>
    where
        W: Uses<E>,
    {
        EventCall::new(&self.calls, E::KEY.to_owned())
    }

    /// As [`WorkflowContext::wait_for_event`], for an event that has a name but no type of its own. The attribute declares it:
    /// `#[workflow(events("approved": bool))]`.
    ///
    /// # Errors
    /// When awaited, `event_undeclared` if the attribute does not declare this name with this type.
    pub fn wait_for_event_named<T: Serialize + DeserializeOwned + Send + 'static>(&self, name: &str) -> EventCall<'_, T>
    where
        W: NamedEvents<T>,
    {
        EventCall::named(&self.calls, name, W::NAMES)
    }

    /// Saves a value under a name: for people and programs outside, who read it with
    /// [`RunHandle::state`](crate::RunHandle::state) while the run lives and afterwards (progress, say), and for
    /// [`WorkflowContext::load_state`]. Written with the next commit; saving again replaces it.
    ///
    /// # Errors
    /// The name is empty or too long, or the value cannot be written as JSON within the payload limit. Nothing was saved.
    pub fn save_state<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let unusable = |message: String| Failure::unusable(ARGUMENTS_UNUSABLE, message);
        check_name("name of a state", name, NAME_BYTES_MAX).map_err(unusable)?;
        let value = Payload::encode(value, &self.limits)
            .map_err(|error| unusable(format!("state {name:?} cannot be saved: {error}")))?;
        self.calls.save(name, value);
        Ok(())
    }

    /// What this run has saved last under this name, also before it went on as a new generation. It comes from the run's own
    /// replay and never from the table, so it is the same each time.
    ///
    /// # Errors
    /// What is saved does not fit `T`.
    pub fn load_state<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.calls.saved(name) else { return Ok(None) };
        value.decode().map(Some).map_err(|error| Failure::permanent(format!("state {name:?} cannot be read: {error}")))
    }

    /// Ends the journal of this run and goes on with an empty one: the same run, key and event inbox, the workflow from its
    /// beginning with this input. For runs without end, whose journal would grow for ever:
    ///
    /// ```
    /// # use forge_wf::prelude::*;
    /// #[workflow]
    /// async fn tick(ctx: &WorkflowContext, hour: u64) -> Result<()> {
    ///     for _ in 0..1_000 {
    ///         ctx.sleep(hours(1)).await?;
    ///     }
    ///     ctx.continue_as_new(hour + 1_000).await
    /// }
    /// ```
    ///
    /// Awaiting it never returns, unless it is refused. It is a commit point: all of it happens or nothing. The new generation
    /// is part of every identity, so a step of it is a new call with a new idempotency key. What earlier generations did is
    /// undone no more. Saved state and events that nobody took stay; steps that still run are stopped as at the workflow's end.
    /// The journals of earlier generations stay in the database, and nobody reads them again.
    ///
    /// # Errors
    /// `work_in_flight` while the run waits for a child or for a step that can be undone. Also after it has dropped a step or child that
    /// can be undone, until that is undone or known not to have been done, and the body has received a further result since (that of a
    /// `ctx.sleep`, say), so a body that tries again after a sleep succeeds. The input cannot be journaled. Nothing has happened then, and what becomes of the failure is the
    /// body's business: returned as above, it fails the run.
    pub fn continue_as_new<T>(&self, input: W::Input) -> impl Future<Output = Result<T, Failure>> + Send + use<'_, T, W>
    where
        W: Workflow,
        T: Send,
    {
        let input = Payload::encode(&input, &self.limits).map_err(|error| {
            Failure::unusable(
                ARGUMENTS_UNUSABLE,
                format!("the input of the next generation cannot be journaled: {error}"),
            )
        });
        let calls = self.calls.clone();
        async move {
            calls.continue_as_new(input?).map_err(|open| {
                let open: Vec<_> = open.iter().take(5).map(ToString::to_string).collect();
                let message = format!(
                    "the run cannot go on as a new generation while its work is in flight: {}; await such calls first; once a dropped call is undone, try again after a sleep",
                    open.join(", ")
                );
                Failure::permanent(message).with_code(WORK_IN_FLIGHT)
            })?;
            // The turn sees that this generation has ended, and drops the body here.
            std::future::pending().await
        }
    }

    /// The same context, for a helper this workflow's signature names.
    #[doc(hidden)]
    pub fn narrow<H>(&self) -> WorkflowContext<H>
    where
        W: Uses<H>,
    {
        self.within(self.saga)
    }
}

impl WorkflowContext<Root> {
    #[doc(hidden)]
    pub fn assume<W>(&self) -> WorkflowContext<W> {
        WorkflowContext::new(self.calls.clone(), self.run, self.limits)
    }
}

impl<W> fmt::Debug for WorkflowContext<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkflowContext({})", self.run)
    }
}
