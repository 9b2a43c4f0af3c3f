//! [`WorkflowContext::saga`]: part of a body that undoes itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::context::WorkflowContext;
use super::slot::Slot;
use crate::engine::calls::{Calls, Delivery, Doable};
use crate::engine::compensate;
use crate::engine::request::{Request, UndoRequest};
use crate::engine::unwind::{resolve_call, undo_call};
use crate::journal::Undo;
use crate::model::{CallId, Payload};

impl<W> WorkflowContext<W> {
    /// Runs part of the body. If it returns an error, the steps and children that were completed through the context it is given
    /// are undone, newest first and one at a time, sagas within it included; then the error is returned and the body goes on. If it returns
    /// a value, nothing is undone: should the run fail later, they are undone with everything else.
    ///
    /// ```
    /// # use forge_wf::prelude::*;
    /// # #[step] async fn cancel_flight(flight: String) -> Result<()> { Ok(()) }
    /// # #[step(compensate = cancel_flight)] async fn book_flight(to: &str) -> Result<String> { Ok(format!("flight to {to}")) }
    /// # #[step] async fn book_hotel(at: &str) -> Result<String> { Ok(format!("hotel in {at}")) }
    /// #[workflow]
    /// async fn holiday(ctx: &WorkflowContext, places: Vec<String>) -> Result<Option<String>> {
    ///     for place in places {
    ///         let booked = ctx.saga(async |ctx| {
    ///             book_flight(ctx, &place).await?;
    ///             book_hotel(ctx, &place).await
    ///         });
    ///         if booked.await.is_ok() {
    ///             return Ok(Some(place));
    ///         }
    ///         // The flight to there is cancelled; on to the next.
    ///     }
    ///     Ok(None)
    /// }
    /// ```
    ///
    /// Write an async closure, `async |ctx| ..` or `async move |ctx| ..`; one that returns an `async` block does not compile here.
    ///
    /// A step that may have been done, since its last attempt timed out or panicked, is run once more to find out. A call that the
    /// saga dropped, or that is still open when it ends, is undone by itself, as soon as it is known to be done. A saga that is
    /// dropped itself, as `select!` does, undoes nothing more: an undo that runs may end, and what is left is undone if the run
    /// fails. An undo that gives up blocks the run as `blocked_compensation` until an operator has it tried
    /// again, skips it or marks it as done; a cancel leaves it to them too.
    ///
    /// # Errors
    /// What `body` returns.
    pub async fn saga<T, E, F>(&self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self) -> Result<T, E>,
    {
        let saga = OpenSaga { calls: &self.calls, saga: self.calls.open_saga(self.saga) };
        let result = body(&self.within(saga.saga)).await;
        if result.is_err() {
            self.roll_back(saga.saga).await;
        }
        result
    }

    async fn roll_back(&self, saga: u32) {
        while let Some(done) = self.calls.last_done(saga) {
            let of = done.entry.call.clone();
            if let Some(undo) = self.recipe(done).await {
                let request = UndoRequest { of: of.clone(), undo, resolves: None };
                UndoCall::new(self, undo_call(&of), request).await;
            }
            self.calls.undone(&of);
        }
    }

    /// How to undo it, once it is known whether it was done.
    async fn recipe(&self, done: Doable) -> Option<Undo> {
        let entry = done.entry;
        if !compensate::was_in_doubt(&entry) {
            return entry.undo;
        }
        let (call, args) = (resolve_call(&entry.call), entry.args.unwrap_or_else(Payload::null));
        let undo = Undo { args, ..entry.undo? };
        let resolves = Some(entry.attempts.max(0).unsigned_abs());
        UndoCall::new(self, call.clone(), UndoRequest { of: entry.call, undo, resolves }).await;
        let found = self.calls.done(&call)?;
        self.calls.undone(&call);
        found.entry.undo
    }
}

/// A saga that has begun; over when this is dropped.
struct OpenSaga<'c> {
    calls: &'c Calls,
    saga: u32,
}

impl Drop for OpenSaga<'_> {
    fn drop(&mut self) {
        self.calls.close_saga(self.saga);
    }
}

/// A step that a saga runs on its way back. What comes of it is for the journal; the saga only waits.
struct UndoCall<'a>(Slot<'a>);

impl<'a> UndoCall<'a> {
    fn new<W>(ctx: &'a WorkflowContext<W>, call: CallId, request: UndoRequest) -> Self {
        Self(Slot::write_as(&ctx.calls, call, Request::Undo(request)))
    }
}

impl Future for UndoCall<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx, |_: Delivery| Ok(()))
    }
}
