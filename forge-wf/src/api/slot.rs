//! What all durable calls share: a place among the calls of their run, polled and dropped with them.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;

use crate::engine::calls::{Calls, Delivery, SlotId};
use crate::engine::request::Request;
use crate::model::{CallId, Failure};

/// The place of a durable call among those of its run.
pub(crate) struct Slot<'a> {
    pub(crate) calls: &'a Arc<Calls>,
    pub(crate) id: SlotId,
    done: bool,
}

impl<'a> Slot<'a> {
    /// Writes the call down: it gets its identity now, and takes effect when it is first polled.
    pub(crate) fn write(calls: &'a Arc<Calls>, key: &str, request: Request) -> Self {
        Self { calls, id: calls.write(key, request), done: false }
    }

    /// Writes down a call whose identity follows from another one.
    pub(crate) fn write_as(calls: &'a Arc<Calls>, call: CallId, request: Request) -> Self {
        Self { calls, id: calls.write_as(call, request), done: false }
    }

    /// As [`Slot::write`], within this saga.
    pub(crate) fn write_in(calls: &'a Arc<Calls>, saga: u32, key: &str, request: Request) -> Self {
        Self { calls, id: calls.write_in(saga, key, request), done: false }
    }

    /// Polls the call; `read` makes its result of what the journal holds, or says why that is not possible any more.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(Delivery) -> Result<T, String>,
    ) -> Poll<T> {
        let (call, delivery) = ready!(self.calls.poll(self.id, cx.waker()));
        self.done = true;
        match read(delivery) {
            Ok(result) => Poll::Ready(result),
            Err(message) => {
                // The body must not see a result that differs from the recorded one, so it stops here and the turn blocks
                // the run.
                self.calls.report_undecodable(call, message);
                Poll::Pending
            }
        }
    }
}

/// A result whose failure is a [`Failure`].
pub(crate) fn read<T: DeserializeOwned>(delivery: Delivery) -> Result<Result<T, Failure>, String> {
    match delivery {
        Delivery::Completed(output) => output.decode().map(Ok).map_err(|error| error.to_string()),
        Delivery::Failed(failure) => failure.decode().map(Err).map_err(|error| error.to_string()),
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.calls.forget(self.id);
        }
    }
}
