//! [`StepCall`]: a step written down in a workflow body, not yet begun.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::arguments::Arguments;
use super::context::WorkflowContext;
use super::definition::{Step, Uses};
use super::failure::StepFailure;
use super::slot::Slot;
use super::timeout::{Timed, Timeout};
use crate::engine::calls::Delivery;
use crate::engine::request::{Request, StepRequest};
use crate::engine::retry::Retry;
use crate::model::{Failure, Payload};

/// A call of a step. It gets its place in the journal when it is written and takes effect when it is first polled.
///
/// Dropping it before it is polled has no effect; dropping it later (as `select!` does) stops the step.
///
/// A *stream* of step calls takes owned items: `stream::iter(items).map(|item| charge(ctx, item)).buffer_unordered(8)`.
/// Over borrowed items (`stream::iter(&items)`) the compiler cannot prove the workflow `Send` and says so far from
/// the call, as "implementation of `FnOnce` is not general enough"; `join_all(items.iter().map(..))` takes both.
#[must_use = "a step call does nothing until it is awaited"]
pub struct StepCall<'a, S: Step> {
    slot: Slot<'a>,
    step: PhantomData<fn() -> S>,
}

impl<'a, S: Step> StepCall<'a, S> {
    #[doc(hidden)]
    pub fn new<W: Uses<S>>(ctx: &'a WorkflowContext<W>, args: Arguments) -> Self {
        let step = S::DEFINITION;
        let (args, args_hash) = args.finish(&ctx.limits);
        let request = StepRequest { step, options: step.options, args, args_hash };
        Self { slot: Slot::write_in(&ctx.calls, ctx.saga, step.key, Request::Step(request)), step: PhantomData }
    }

    /// Its arguments, before it has begun.
    pub(crate) fn written_args(&self) -> Result<Payload, Box<Failure>> {
        match self.slot.calls.written(self.slot.id) {
            Some(Request::Step(request)) => request.args,
            _ => unreachable!("a step call that was not polled is a request for a step"),
        }
    }

    /// Bounds each attempt of this call, instead of the step's own `timeout`. An attempt that runs longer is dropped
    /// and counts as failed.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.slot.calls.set_options(self.slot.id, |options| options.timeout = Some(timeout));
        self
    }

    /// Bounds the whole call, retries and the time its run spends nowhere included: see [`Timeout`].
    pub fn timeout(self, timeout: Duration) -> Timeout<'a, Self> {
        Timeout::new(self.slot.calls, self, timeout)
    }

    /// Tries this call by `policy`, instead of the step's own `retry`.
    pub fn retry(self, policy: Retry) -> Self {
        self.slot.calls.set_options(self.slot.id, |options| options.retry = Some(policy));
        self
    }
}

impl<S: Step> Future for StepCall<'_, S> {
    type Output = Result<S::Output, <S::Error as StepFailure>::Seen>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(cx, |delivery| match delivery {
            Delivery::Completed(output) => output.decode().map(Ok).map_err(|error| error.to_string()),
            Delivery::Failed(failure) => {
                failure.decode::<Failure>().map_err(|error| error.to_string()).and_then(S::Error::seen).map(Err)
            }
        })
    }
}

impl<S: Step> Timed for StepCall<'_, S> {
    fn what(&self) -> String {
        S::DEFINITION.key.to_owned()
    }

    fn give_up(failure: Failure) -> Self::Output {
        // Neither a timeout nor a wrong duration holds an error of the step's own type, so every type can show it.
        Err(S::Error::seen(failure)
            .unwrap_or_else(|message| unreachable!("an engine's failure was not read: {message}")))
    }
}

impl<S: Step> fmt::Debug for StepCall<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepCall({})", S::DEFINITION.key)
    }
}
