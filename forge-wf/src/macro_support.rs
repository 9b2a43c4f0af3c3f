//! The one door for expanded code. Not for users: anything here may change with any release.

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use inventory;

#[path = "macro_support/lock.rs"]
mod lock;
#[path = "macro_support/undo.rs"]
mod undo;

pub use crate::api::arguments::{Arguments, ReadArguments};
pub use crate::api::call::StepCall;
pub use crate::api::child::ChildCall;
pub use crate::api::compensate::{Undoes, Unknown, undone_by};
pub use crate::api::context::WorkflowContext;
pub use crate::api::definition::{
    Argument, Callee, Event, IntoFailure, Kept, NamedEvents, Registered, Returned, Root, Step, Undone, Uses, Workflow,
};
pub use crate::api::failure::{Failure, StepFailure};
pub use crate::api::step_context::StepContext;
pub use crate::contract::schema::{NoSchema, Schema, SchemaOf, SelfReference, Structure, typed};
pub use crate::contract::{digest, lockfile, message, parts};
pub use crate::engine::definition::{
    Body, BodyFuture, EventDefinition, Place, Registration, StepDefinition, StepEnv, StepFuture, StepOptions,
    StepOutcome, UndoArgs, UndoDefinition, WorkflowDefinition,
};
pub use crate::engine::retry::Retry;
pub use crate::engine::states::StateNeed;
pub use crate::model::{Digest, Payload, VersionStatus};

pub use self::lock::assert_lock;
pub use self::undo::{
    Compensation, NoCompensation, StepFunction, TypeOf, UndoError, called, scratch_context, undone_input,
    undone_output, written,
};

use crate::contract::parts::{Part, PartKind};
use crate::engine::compensate::undo_args;
use crate::model::failure::{INPUT_UNUSABLE, RESULT_UNUSABLE};
use crate::model::{Limits, PayloadError};

/// The state of this type; `build()` has checked that it is there.
///
/// # Errors
/// An outcome for the step, if it is not.
pub fn state<T: Send + Sync + 'static>(env: &StepEnv) -> Result<Arc<T>, StepOutcome> {
    env.states.get::<T>().ok_or_else(|| StepOutcome::Failed {
        failure: Box::new(Failure::permanent(format!("no state of type {} was given", std::any::type_name::<T>()))),
        retryable: false,
        undo: None,
    })
}

/// State behind a trait: what `state(..)` was given of it.
pub enum DynState<T: ?Sized> {
    /// An `Arc<dyn Trait>`.
    Arc(Arc<Arc<T>>),
    /// A `Box<dyn Trait>`.
    Box(Arc<Box<T>>),
}

impl<T: ?Sized> std::ops::Deref for DynState<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Arc(held) => held,
            Self::Box(held) => held,
        }
    }
}

/// The state given as `Arc<T>` or as `Box<T>`, where `T` is `dyn Trait`.
///
/// # Errors
/// An outcome for the step, if there is neither.
pub fn dyn_state<T: ?Sized + Send + Sync + 'static>(env: &StepEnv) -> Result<DynState<T>, StepOutcome> {
    match env.states.get::<Arc<T>>() {
        Some(held) => Ok(DynState::Arc(held)),
        None => state::<Box<T>>(env).map(DynState::Box),
    }
}

/// The `TypeId` of a type of state.
pub fn type_id<T: 'static>() -> TypeId {
    TypeId::of::<T>()
}

/// The context of an attempt.
pub fn step_context(env: &StepEnv) -> StepContext {
    StepContext::new(env.clone())
}

/// What the journal keeps of what a step returned. `retry_if` is the step's own word on its error.
pub fn step_outcome<S: Step>(
    env: &StepEnv,
    args: &Payload,
    returned: Result<S::Output, S::Error>,
    retry_if: fn(&S::Error) -> bool,
) -> StepOutcome {
    match returned {
        Ok(value) => match encode_readable(&value, &env.limits) {
            Ok(output) => StepOutcome::Completed { undo: undo_for::<S>(args, &output), output },
            Err(error) => StepOutcome::Failed {
                undo: serde_json::to_string(&value)
                    .ok()
                    .and_then(|output| undo_for::<S>(args, &Payload::from_json_text(output))),
                failure: Box::new(Failure::unusable(
                    RESULT_UNUSABLE,
                    format!(
                        "{} of run {} did its work, but its output cannot be journaled: {error}",
                        env.call, env.run
                    ),
                )),
                retryable: false,
            },
        },
        Err(error) => {
            let wanted = retry_if(&error);
            let failure = error.record();
            StepOutcome::Failed { retryable: wanted && !failure.is_permanent(), failure: Box::new(failure), undo: None }
        }
    }
}

fn undo_for<S: Step>(args: &Payload, output: &Payload) -> Option<UndoArgs> {
    undo_args(S::DEFINITION.undo.as_ref()?, args, Some(output))
}

/// Encodes a value and checks that it can be read again: what the journal holds must come back.
fn encode_readable<T: Serialize + DeserializeOwned>(value: &T, limits: &Limits) -> Result<Payload, PayloadError> {
    let payload = Payload::encode(value, limits)?;
    payload.decode::<T>()?;
    Ok(payload)
}

/// The context of a workflow body.
pub fn workflow_context<W>(body: &Body) -> WorkflowContext<W> {
    WorkflowContext::new(body.calls.clone(), body.run, body.limits)
}

/// What an event asks of its type, as one bound: for a generic type, which the derive refuses but still makes an event, so
/// that its waits are not refused as well.
pub trait Journaled: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Journaled for T {}

/// The digest of an event that a body waits for.
///
/// Of a type that is no event it is [`NoEvent`]'s, silently: the wait itself is refused, in better words than these.
pub struct WaitDigest<E>(PhantomData<E>);

impl<E: Event> WaitDigest<E> {
    /// Part of the waiter's signature.
    pub const DIGEST: u128 = E::DIGEST;
    /// As a part of the waiter's contract.
    pub const PART: Part = E::PART;
}

/// See [`WaitDigest`]; its own constant goes first where there is one.
pub trait NoEvent {
    /// Part of no signature that compiles.
    const DIGEST: u128 = 0;
    /// Part of no contract that compiles.
    const PART: Part = Part { kind: PartKind::Event, name: "", text: "", digest: 0, parts: &[] };
}

impl<E> NoEvent for WaitDigest<E> {}

/// What a `#[workflow]` function returns when it fails.
pub trait WorkflowError: Workflow {
    /// The type.
    type Error: IntoFailure;
}

/// The input of a workflow body.
///
/// # Errors
/// The run's failure, if it does not fit the workflow's input type.
pub fn workflow_input<M: Workflow>(body: &Body) -> Result<M::Input, Failure> {
    body.input.decode().map_err(|error| {
        Failure::permanent(format!("the input of run {} does not fit its workflow: {error}", body.run))
            .with_code(INPUT_UNUSABLE)
    })
}

/// What the journal keeps of what a workflow returned.
///
/// # Errors
/// The run's failure.
pub fn workflow_outcome<M: WorkflowError>(
    run: crate::RunId,
    limits: &Limits,
    returned: Result<M::Output, M::Error>,
) -> Result<Payload, Failure> {
    let value = returned.map_err(IntoFailure::into_failure)?;
    encode_readable(&value, limits).map_err(|error| {
        Failure::unusable(RESULT_UNUSABLE, format!("the output of run {run} cannot be journaled: {error}"))
    })
}
