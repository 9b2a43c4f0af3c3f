//! The traits the macros implement. Users meet them in bounds and in error messages only.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Failure, StepFailure};
use crate::contract::parts::Part;
use crate::engine::definition::{Registration, StepDefinition, WorkflowDefinition};

/// The argument number `N` of a step, as an attempt reads it back.
///
/// The one place where an argument's type is refused, on the user's token: what the macros write besides asks for this
/// trait only, so that one wrong type is not reported wherever it is used.
pub trait Argument<const N: usize> {
    /// The type of the argument, or of its elements if it is a slice or an `Option` of a reference.
    type Owned: Serialize + DeserializeOwned + Send + 'static;
}

/// What a `#[step]` function is, beside its call.
pub trait Step: Sized + 'static {
    /// What it takes besides context and state, as a tuple: an attempt owns each, so slices are a `Vec`.
    type Inputs;
    /// What it returns when it succeeds.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// What it returns when it fails.
    type Error: StepFailure;
    /// Hash of its key, parameters and output. [`Callee::DIGEST`] is this, or both this and the interface of its
    /// compensation; that one's own compensation is left out, so steps may undo themselves and each other.
    const INTERFACE: u128;
    /// What the engine knows of it.
    const DEFINITION: &'static StepDefinition;
}

/// What a `#[workflow]` function is, beside its call.
pub trait Workflow: Sized + 'static {
    /// Its input; `()` if it takes none.
    type Input: Serialize + DeserializeOwned + Send + 'static;
    /// What it returns when it succeeds.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// What the engine knows of it.
    const DEFINITION: &'static WorkflowDefinition;
}

/// Something that can be undone by a step: a step, or a run of a workflow that was called from another one.
pub trait Undone: Sized + 'static {
    /// What it takes, as a tuple, in the types in which it is read back.
    type Inputs;
    /// What it returns when it succeeds.
    type Output;

    /// How what it was given is kept.
    fn kept() -> Kept;
}

/// How what was given to a step or a run is kept.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    /// As an object of arguments with these names.
    ByName(&'static [&'static str]),
    /// As itself: the input of a workflow that takes one.
    Whole,
    /// Nothing was given.
    Nothing,
}

impl<S: Step> Undone for S {
    type Inputs = S::Inputs;
    type Output = S::Output;

    fn kept() -> Kept {
        Kept::ByName(S::DEFINITION.arguments)
    }
}

/// Something the runtime can register: a step or a workflow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `#[step]` or `#[workflow]`",
    note = "write the type of the same name: `.register::<checkout>()`"
)]
pub trait Registered {
    /// The entry.
    const REGISTRATION: Registration;
}

/// Something a workflow may call: its digest becomes part of the caller's signature.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `#[step]`, `#[workflow]`, `#[helper]` or event",
    label = "a workflow cannot call or wait for this",
    note = "annotate the function, or derive `Event` for the type of an event"
)]
pub trait Callee {
    /// Part of the caller's signature.
    const DIGEST: u128;
    /// The same in words, for the lock file.
    const PART: Part;
}

/// A named, typed payload sent to a run from outside: `#[derive(Event)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "expected a type with `#[derive(Event)]`",
    note = "derive `forge_wf::Event` for `{Self}`, or wait by name: `ctx.wait_for_event_named::<{Self}>(\"name\")`"
)]
pub trait Event: Callee + Serialize + DeserializeOwned + Send + 'static {
    /// Its name, as in `approved`.
    const NAME: &'static str;
    /// The key of its waits in the journal, as in `event:approved`.
    const KEY: &'static str;
}

/// The names that the attribute of `Self` declares for events with payload `T`, by `events("name": T)`.
#[diagnostic::on_unimplemented(
    message = "the signature of `{Self}` names no event with payload `{T}`",
    label = "this wait is not in the signature",
    note = "declare it in the attribute: `#[workflow(events(\"name\": {T}))]`, or derive `Event` for `{T}` and wait by type"
)]
pub trait NamedEvents<T> {
    /// The names.
    const NAMES: &'static [&'static str];
}

/// The proof that the signature of `Self` names `S`. The macros implement it for each call they find.
#[diagnostic::on_unimplemented(
    message = "the signature of `{Self}` does not name `{S}`",
    label = "this call is not in the signature",
    note = "is the function around this call a `#[workflow]` or `#[helper]`? It must be one",
    note = "if it is one, the call is hidden from it (by a macro or a renamed context): name it in the attribute, `steps({S})`, or `events({S})` if it is an event"
)]
pub trait Uses<S> {}

/// The context type of a function that is neither `#[workflow]` nor `#[helper]`: it may call nothing.
pub enum NotAWorkflowOrHelper {}

/// The context type of a start from outside: it may call everything.
#[doc(hidden)]
pub enum Root {}

impl<S> Uses<S> for Root {}

/// What a step or workflow function may return.
#[diagnostic::on_unimplemented(
    message = "a step or workflow returns a `Result`, not `{Self}`",
    label = "expected `forge_wf::Result<..>` or `Result<.., E>`",
    note = "write `-> forge_wf::Result<{Self}>` and wrap the value in `Ok(..)`"
)]
pub trait Returned {
    /// The value of `Ok`.
    type Value;
    /// The value of `Err`.
    type Error;

    /// As a plain `Result`.
    ///
    /// # Errors
    /// The value of `Err`.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E> Returned for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// A workflow function as `Runtime::start` takes it: with or without an input.
///
/// `Args` and `M` are found by inference: the function's return type names the workflow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `#[workflow]` function",
    label = "expected the name of a `#[workflow]` function"
)]
pub trait WorkflowFn<Args, M: Workflow> {}

impl<F, I, M> WorkflowFn<(I,), M> for F
where
    M: Workflow<Input = I>,
    F: for<'a> Fn(&'a super::context::WorkflowContext<Root>, I) -> super::child::ChildCall<'a, M>,
{
}

impl<F, M> WorkflowFn<(), M> for F
where
    M: Workflow<Input = ()>,
    F: for<'a> Fn(&'a super::context::WorkflowContext<Root>) -> super::child::ChildCall<'a, M>,
{
}

/// What a workflow may fail with: everything that becomes a [`Failure`].
#[diagnostic::on_unimplemented(
    message = "a workflow cannot return the error type `{Self}`",
    label = "does not become a `Failure`",
    note = "return `forge_wf::Result<..>` (any error becomes a `Failure` by `?`), or implement `std::error::Error` for `{Self}`"
)]
pub trait IntoFailure {
    /// As a failure.
    fn into_failure(self) -> Failure;
}

impl<E: Into<Failure>> IntoFailure for E {
    fn into_failure(self) -> Failure {
        self.into()
    }
}
