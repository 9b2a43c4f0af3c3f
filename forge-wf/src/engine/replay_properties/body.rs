//! What a body under test is given: step calls that note what happens to them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;

use crate::engine::calls::{Calls, Delivery, SlotId};
use crate::engine::definition::{Place, StepDefinition, StepEnv, StepFuture, StepOptions};
use crate::engine::request::{Request, StepRequest};
use crate::model::{Digest, Payload};

/// What a step or a part of a program comes to.
pub(super) type Value = Result<u64, u64>;

/// What the body did, as its own calls saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    Written(SlotId, &'static str, u64),
    Begun(SlotId),
    Got(SlotId, Value),
    Dropped(SlotId),
}

const fn step(key: &'static str) -> StepDefinition {
    fn never(_: StepEnv, _: Payload) -> StepFuture {
        unreachable!("the pure core starts nothing")
    }
    let place = Place { file: "program.rs", line: 1, column: 1 };
    let options = StepOptions { retry: None, timeout: None };
    StepDefinition { key, place, digest: Digest(0), options, arguments: &[], undo: None, states: &[], run: never }
}
static STEPS: [StepDefinition; 3] = [step("step:a"), step("step:b"), step("step:c")];

/// What a body under test is given.
#[derive(Default)]
pub(super) struct Ctx {
    pub(super) calls: Arc<Calls>,
    trace: Mutex<Vec<Event>>,
}

impl Ctx {
    /// Writes a call of the `key`-th step.
    pub(super) fn call(&self, key: usize, arg: u64) -> Call<'_> {
        let args = Ok(Payload::from_json_text(arg.to_string()));
        let request = StepRequest { step: &STEPS[key], options: STEPS[key].options, args, args_hash: arg };
        let slot = self.calls.write(STEPS[key].key, Request::Step(request));
        self.note(Event::Written(slot, STEPS[key].key, arg));
        Call { ctx: self, slot, begun: false, done: false }
    }

    fn note(&self, event: Event) {
        self.trace.lock().unwrap().push(event);
    }

    pub(super) fn trace(&self) -> Vec<Event> {
        self.trace.lock().unwrap().clone()
    }
}

/// The engine's side of `StepCall`, which also notes what happens to it.
pub(super) struct Call<'a> {
    ctx: &'a Ctx,
    slot: SlotId,
    begun: bool,
    done: bool,
}

impl Future for Call<'_> {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        if !std::mem::replace(&mut self.begun, true) {
            self.ctx.note(Event::Begun(self.slot));
        }
        let (call, delivery) = ready!(self.ctx.calls.poll(self.slot, cx.waker()));
        self.done = true;
        let read = match &delivery {
            Delivery::Completed(output) => output.decode().map(Ok),
            Delivery::Failed(failure) => failure.decode().map(Err),
        };
        match read {
            Ok(value) => {
                self.ctx.note(Event::Got(self.slot, value));
                Poll::Ready(value)
            }
            Err(error) => {
                self.ctx.calls.report_undecodable(call, error.to_string());
                Poll::Pending
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.done {
            if self.begun {
                self.ctx.note(Event::Dropped(self.slot));
            }
            self.ctx.calls.forget(self.slot);
        }
    }
}

/// A body that can be begun again and again.
pub(super) type Program = Arc<dyn Fn(Arc<Ctx>) -> BoxFuture<'static, Value> + Send + Sync>;

/// A program from an async function over [`Ctx`].
pub(super) fn program(body: impl AsyncBody) -> Program {
    let body = Arc::new(body);
    Arc::new(move |ctx| {
        let body = body.clone();
        Box::pin(async move { body.start(&ctx).await })
    })
}

/// `for<'a> Fn(&'a Ctx) -> impl Future<Output = Value> + Send + 'a`, boxed.
pub(super) trait AsyncBody: Send + Sync + 'static {
    fn start<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Value>;
}

impl<F: for<'a> Fn(&'a Ctx) -> BoxFuture<'a, Value> + Send + Sync + 'static> AsyncBody for F {
    fn start<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, Value> {
        self(ctx)
    }
}
