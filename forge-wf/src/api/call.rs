//! [`StepCall`]: a step written down in a workflow body, not yet begun.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::context::WorkflowContext;
use super::definition::{Step, Uses, Workflow};
use super::failure::StepFailure;
use crate::engine::calls::{Calls, Delivery, SlotId, StepRequest};
use crate::engine::retry::Retry;
use crate::macro_support::Arguments;
use crate::model::Failure;

/// A call of a step. It gets its place in the journal when it is written and takes effect when it is first polled.
///
/// Dropping it before it is polled has no effect; dropping it later (as `select!` does) stops the step.
///
/// A *stream* of step calls takes owned items: `stream::iter(items).map(|item| charge(ctx, item)).buffer_unordered(8)`.
/// Over borrowed items (`stream::iter(&items)`) the compiler cannot prove the workflow `Send` and says so far from
/// the call, as "implementation of `FnOnce` is not general enough"; `join_all(items.iter().map(..))` takes both.
#[must_use = "a step call does nothing until it is awaited"]
pub struct StepCall<'a, S: Step> {
    calls: &'a Arc<Calls>,
    slot: SlotId,
    done: bool,
    step: PhantomData<fn() -> S>,
}

impl<'a, S: Step> StepCall<'a, S> {
    #[doc(hidden)]
    pub fn new<W: Uses<S>>(ctx: &'a WorkflowContext<W>, args: Arguments) -> Self {
        let step = S::DEFINITION;
        let (args, args_hash) = args.finish(&ctx.limits);
        let request = StepRequest { step, options: step.options, args, args_hash };
        Self { slot: ctx.calls.write(request), calls: &ctx.calls, done: false, step: PhantomData }
    }

    /// Bounds each attempt of this call, instead of the step's own `timeout`. An attempt that runs longer is dropped
    /// and counts as failed.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.calls.set_options(self.slot, |options| options.timeout = Some(timeout));
        self
    }

    /// Bounds the whole call, retries included. Not supported yet.
    pub fn timeout(self, _: Duration) -> Self
    where
        Self: WholeCallTimeout,
    {
        self
    }

    /// Tries this call by `policy`, instead of the step's own `retry`.
    pub fn retry(self, policy: Retry) -> Self {
        self.calls.set_options(self.slot, |options| options.retry = Some(policy));
        self
    }
}

/// What `StepCall::timeout` asks for; nothing implements it yet.
#[diagnostic::on_unimplemented(
    message = "`.timeout()` on a step call is not supported yet",
    label = "not supported yet",
    note = "bound each attempt instead: `.attempt_timeout(..)`, or `#[step(timeout = \"30s\")]`"
)]
#[doc(hidden)]
pub trait WholeCallTimeout {}

impl<S: Step> Future for StepCall<'_, S> {
    type Output = Result<S::Output, <S::Error as StepFailure>::Seen>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (call, delivery) = ready!(self.calls.poll(self.slot, cx.waker()));
        self.done = true;
        let read = match &delivery {
            Delivery::Completed(output) => output.decode().map(Ok).map_err(|error| error.to_string()),
            Delivery::Failed(failure) => {
                failure.decode::<Failure>().map_err(|error| error.to_string()).and_then(S::Error::seen).map(Err)
            }
        };
        match read {
            Ok(result) => Poll::Ready(result),
            Err(message) => {
                // The body must not see a result that differs from the recorded one, so it stops here and the turn blocks the run.
                self.calls.report_undecodable(call, message);
                Poll::Pending
            }
        }
    }
}

impl<S: Step> Drop for StepCall<'_, S> {
    fn drop(&mut self) {
        if !self.done {
            self.calls.forget(self.slot);
        }
    }
}

impl<S: Step> fmt::Debug for StepCall<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepCall({})", S::DEFINITION.key)
    }
}

/// A call of a workflow. Its type names the workflow, which is how `rt.start(checkout, order)` knows what to start.
#[must_use = "calling a workflow does nothing by itself"]
pub struct ChildCall<'a, M: Workflow> {
    workflow: PhantomData<fn(&'a ()) -> M>,
}

impl<'a, M: Workflow> ChildCall<'a, M> {
    #[doc(hidden)]
    pub fn new<W: Uses<M>, I>(_: &'a WorkflowContext<W>, _: I) -> Self {
        Self { workflow: PhantomData }
    }
}

/// So that a call of a workflow from a workflow is refused with one message, for the callee, and not with a second
/// one for the `.await`.
impl<M: Workflow> Future for ChildCall<'_, M> {
    type Output = Result<M::Output, Failure>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        unreachable!("{self:?}: a workflow is not a `Callee`, so no workflow that awaits one compiles")
    }
}

impl<M: Workflow> fmt::Debug for ChildCall<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildCall({})", M::DEFINITION.name)
    }
}
