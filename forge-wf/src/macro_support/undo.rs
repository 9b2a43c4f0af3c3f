//! What the macros write for `compensate = refund(output.id)`: the call is made on a context of its own, and only what it
//! asks for is kept.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Root, Step, StepCall, StepOutcome, Undone, Workflow, WorkflowContext};
use crate::engine::calls::Calls;
use crate::engine::definition::{StepDefinition, UndoArgs};
use crate::model::{Limits, Payload, RunId};

/// Why the arguments of an undo could not be found out.
pub struct UndoError(String);

/// From what reads arguments, which speaks of an attempt.
impl From<StepOutcome> for UndoError {
    fn from(outcome: StepOutcome) -> Self {
        Self(match outcome {
            StepOutcome::Failed { failure, .. } => failure.to_string(),
            StepOutcome::Completed { .. } => unreachable!("reading arguments completes no step"),
        })
    }
}

/// What the call in the attribute of a step or workflow gives its compensation. The call speaks of the output, so without one there is
/// nothing to evaluate.
pub fn called(
    args: &Payload,
    output: Option<&Payload>,
    call: fn(&Payload, &Payload) -> Result<Payload, UndoError>,
) -> Option<UndoArgs> {
    Some(call(args, output?).map_err(|UndoError(message)| message))
}

/// The output of `S`.
///
/// # Errors
/// If it does not fit.
pub fn undone_output<S: Undone>(output: &Payload) -> Result<S::Output, UndoError>
where
    S::Output: DeserializeOwned,
{
    output.decode().map_err(|error| UndoError(format!("the recorded output cannot be read: {error}")))
}

/// The input of a run of `M`.
///
/// # Errors
/// If it does not fit.
pub fn undone_input<M: Workflow>(input: &Payload) -> Result<M::Input, UndoError> {
    input.decode().map_err(|error| UndoError(format!("the recorded input cannot be read: {error}")))
}

/// A context whose calls nobody runs.
pub fn scratch_context() -> WorkflowContext<Root> {
    // The engine has bounds of its own for what comes out of it.
    let limits = Limits { payload_bytes: usize::MAX };
    WorkflowContext::new(Arc::new(Calls::default()), RunId(uuid::Uuid::nil()), limits)
}

/// The arguments of a call of `C` that has not begun.
///
/// # Errors
/// If they cannot be written as JSON.
pub fn written<C: Step>(call: &StepCall<'_, C>, _: TypeOf<C>) -> Result<Payload, UndoError> {
    call.written_args().map_err(|failure| UndoError(failure.to_string()))
}

/// A step's type as a value.
pub struct TypeOf<C>(PhantomData<C>);

/// The function of a step, by its type and its name, and the type as a value: `<refund as StepFunction<_, _>>::of(refund)`.
///
/// Both come out of a projection, so of a type that is no step rustc does not know what they are, and does not go on
/// about how they are used.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a `#[step]`", label = "only a `#[step]` undoes something")]
pub trait StepFunction<F, How: ?Sized> {
    /// `F`.
    type Function;
    /// `Self`.
    type Step;

    /// The function.
    fn of(function: F) -> (Self::Function, TypeOf<Self::Step>);
}

impl<C: Step, F> StepFunction<F, ()> for C {
    type Function = F;
    type Step = C;

    fn of(function: F) -> (F, TypeOf<C>) {
        (function, TypeOf(PhantomData))
    }
}

/// Implemented by nothing.
pub trait Nothing {}

/// Never applies. But a trait with one impl is taken at its word: the types above would be known in spite of the bound.
impl<C: Nothing, F> StepFunction<F, dyn Nothing> for C {
    type Function = F;
    type Step = C;

    fn of(function: F) -> (F, TypeOf<C>) {
        (function, TypeOf(PhantomData))
    }
}

/// What is known of a compensating step.
///
/// Of a type that is no step it is [`NoCompensation`]'s, silently: the call itself is refused.
pub struct Compensation<C>(PhantomData<C>);

impl<C: Step> Compensation<C> {
    /// Part of the digest of the step it undoes.
    pub const INTERFACE: u128 = C::INTERFACE;

    /// What the engine knows of it.
    pub fn definition() -> &'static StepDefinition {
        C::DEFINITION
    }
}

/// See [`Compensation`]; its own constant and function go first where there are some.
pub trait NoCompensation {
    /// Part of no digest that compiles.
    const INTERFACE: u128 = 0;

    /// Never called, since nothing compiles.
    fn definition() -> &'static StepDefinition {
        unreachable!("a compensation that is no step does not compile")
    }
}

impl<C> NoCompensation for Compensation<C> {}
