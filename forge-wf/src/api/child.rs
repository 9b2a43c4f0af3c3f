//! [`ChildCall`]: a workflow called from a workflow.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::WorkflowContext;
use super::definition::{Uses, Workflow};
use super::slot::Slot;
use super::timeout::{Timed, Timeout};
use crate::contract::schema::{Schema, Structure};
use crate::engine::calls::Delivery;
use crate::engine::request::{ChildRequest, Request};
use crate::model::failure::ARGUMENTS_UNUSABLE;
use crate::model::fingerprint::fingerprint;
use crate::model::{ChildError, Failure, Payload, PayloadError, RunId};

/// A call of a workflow from a workflow: it starts a child run when it is first polled, and waits for its result.
///
/// The child is a run of its own, with its own journal, on whatever worker has a slot for it. Which run it is follows from
/// the parent and the call, so a crash never makes a second one. Dropping the call (as `select!` does, or a timeout) cancels the
/// child, and so does the end of its parent: it undoes what it did, and its result is told to nobody. A parent that undoes
/// waits until such a child has ended. A parent that is killed or retired kills or retires its children that have not ended, also those
/// it has dropped, and these do the same to their own: nothing in the whole tree is undone. What a child has *completed* is undone if its workflow says how, by
/// `#[workflow(compensate = ..)]`, and stands otherwise. [`ChildCall::detach`] lets it go on by itself.
///
/// Its type names the workflow, which is how `rt.start(checkout, order)` knows what to start.
#[must_use = "calling a workflow does nothing until it is awaited"]
pub struct ChildCall<'a, M: Workflow> {
    slot: Slot<'a>,
    workflow: PhantomData<fn() -> M>,
}

impl<'a, M: Workflow> ChildCall<'a, M> {
    #[doc(hidden)]
    pub fn new<W: Uses<M>>(ctx: &'a WorkflowContext<W>, input: M::Input) -> Self {
        let workflow = M::DEFINITION;
        let hash = fingerprint(&input).map_err(|error| PayloadError::Encode(error.to_string()));
        let (input, args_hash) = match hash.and_then(|hash| Ok((Payload::encode(&input, &ctx.limits)?, hash))) {
            Ok((input, hash)) => (Ok(input), hash),
            Err(error) => {
                let message = format!("the input of child {} cannot be journaled: {error}", workflow.name);
                (Err(Box::new(Failure::unusable(ARGUMENTS_UNUSABLE, message))), 0)
            }
        };
        let request = ChildRequest { workflow, input, args_hash, detached: false };
        let slot = Slot::write_in(&ctx.calls, ctx.saga, workflow.child_key, Request::Child(request));
        Self { slot, workflow: PhantomData }
    }

    /// Bounds the wait for the child; when it is over, the call is dropped. See [`Timeout`] and [`ChildCall`].
    pub fn timeout(self, timeout: Duration) -> Timeout<'a, Self> {
        Timeout::new(self.slot.calls, self, timeout)
    }

    /// Starts the child without waiting for it: the call resolves as soon as the child is about to exist, to who it is. The
    /// child goes on when its parent has ended, in whatever way, and what becomes of it is not told to the parent.
    pub fn detach(self) -> DetachedCall<'a, M> {
        self.slot.calls.change(self.slot.id, |request| {
            if let Request::Child(child) = request {
                child.detached = true;
            }
        });
        DetachedCall { slot: self.slot, workflow: PhantomData }
    }
}

fn failure(delivery: &Payload) -> Result<Failure, String> {
    delivery.decode::<Failure>().map_err(|error| error.to_string())
}

impl<M: Workflow> Future for ChildCall<'_, M> {
    type Output = Result<M::Output, ChildError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(cx, |delivery| match delivery {
            Delivery::Completed(output) => output.decode().map(Ok).map_err(|error| error.to_string()),
            Delivery::Failed(failed) => Ok(Err(ChildError::of(failure(&failed)?))),
        })
    }
}

impl<M: Workflow> Timed for ChildCall<'_, M> {
    fn what(&self) -> String {
        M::DEFINITION.child_key.to_owned()
    }

    fn give_up(failure: Failure) -> Self::Output {
        Err(ChildError::of(failure))
    }
}

impl<M: Workflow> fmt::Debug for ChildCall<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildCall({})", M::DEFINITION.name)
    }
}

/// A call of a workflow that does not wait for it: see [`ChildCall::detach`].
#[must_use = "calling a workflow does nothing until it is awaited"]
pub struct DetachedCall<'a, M: Workflow> {
    slot: Slot<'a>,
    workflow: PhantomData<fn() -> M>,
}

impl<M: Workflow> Future for DetachedCall<'_, M> {
    type Output = Result<ChildHandle, ChildError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(cx, |delivery| match delivery {
            Delivery::Completed(id) => {
                id.decode().map(|run| Ok(ChildHandle { run })).map_err(|error| error.to_string())
            }
            Delivery::Failed(failed) => Ok(Err(ChildError::of(failure(&failed)?))),
        })
    }
}

impl<M: Workflow> fmt::Debug for DetachedCall<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DetachedCall({})", M::DEFINITION.name)
    }
}

/// Who a detached child is. It may be kept, returned or given to a step, which can send it events or wait for it with a
/// [`Client`](crate::Client).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildHandle {
    run: RunId,
}

impl Schema for ChildHandle {
    const STRUCTURE: Structure = Structure::of("child");
}

impl ChildHandle {
    /// The child's run id.
    pub fn run_id(self) -> RunId {
        self.run
    }
}
