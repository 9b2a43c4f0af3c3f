//! [`Timeout`]: a durable call bounded by a durable timer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::slot::{Slot, read};
use super::wait::checked;
use crate::engine::calls::Calls;
use crate::engine::request::{Request, Until};
use crate::model::failure::TIMED_OUT;
use crate::model::{Failure, FailureKind};

/// A call that can be bounded by a timer.
pub trait Timed: Future + Unpin {
    /// What is bounded, as in `step:charge`.
    #[doc(hidden)]
    fn what(&self) -> String;

    /// What comes out when the call was given up.
    #[doc(hidden)]
    fn give_up(failure: Failure) -> Self::Output;
}

/// A step call, a wait for an event or a child run, bounded by a timer: it resolves to the outcome of the call or to a
/// failure of kind [`FailureKind::TimedOut`], whichever is recorded first, and to the same one on every replay.
///
/// The timer begins when the call is first polled, by the database's clock, and is kept over restarts. When it fires, the
/// call is dropped: a running step is stopped, a child run is no longer waited for, and a wait for an event takes none. An
/// event that was sent after that moment is too late, and one sent before is in time, also if no worker was there to see it.
#[must_use = "a call does nothing until it is awaited"]
pub struct Timeout<'a, C> {
    call: Option<C>,
    timer: Option<Slot<'a>>,
    limit: Duration,
    wrong: Option<Failure>,
}

impl<'a, C: Timed> Timeout<'a, C> {
    pub(crate) fn new(calls: &'a Arc<Calls>, call: C, limit: Duration) -> Self {
        let (timer, wrong) = match checked(limit) {
            Ok(limit) => (Some(Slot::write(calls, "timeout", Request::Time(Until::After(limit)))), None),
            Err(failure) => (None, Some(failure)),
        };
        Self { call: Some(call), timer, limit, wrong }
    }
}

impl<C: Timed> Future for Timeout<'_, C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        if let Some(failure) = self.wrong.take() {
            self.call = None;
            return Poll::Ready(C::give_up(failure));
        }
        let call = self.call.as_mut().expect("it is not polled again after it has returned its result");
        if let Poll::Ready(output) = Pin::new(call).poll(cx) {
            // Whoever keeps this future does not keep its timer.
            (self.call, self.timer) = (None, None);
            return Poll::Ready(output);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        let fired = ready!(timer.poll(cx, read::<()>));
        self.timer = None;
        let what = self.call.take().map(|call| call.what()).unwrap_or_default();
        Poll::Ready(C::give_up(match fired {
            Ok(()) => {
                let limit = humantime::format_duration(self.limit);
                Failure::permanent(format!("{what} had no outcome within its timeout of {limit}"))
                    .with_code(TIMED_OUT)
                    .of_kind(FailureKind::TimedOut)
            }
            Err(failure) => failure,
        }))
    }
}

impl<C: fmt::Debug> fmt::Debug for Timeout<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("call", &self.call).field("limit", &self.limit).finish()
    }
}
