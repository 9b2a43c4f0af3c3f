//! The errors users meet: [`Failure`] from inside workflows, [`StepError`] from steps with an error type of their own.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::model::{Failure, FailureKind};

/// What steps and workflows return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the caller of a step gets whose error type is its own, typed also after a replay.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError<E> {
    /// The step returned this error, on its last attempt.
    #[error(transparent)]
    Failed(E),
    /// The last attempt ran longer than its timeout.
    #[error("{0}")]
    TimedOut(String),
    /// The last attempt panicked.
    #[error("{0}")]
    Panicked(String),
    /// The run was cancelled while the step ran.
    #[error("{0}")]
    Cancelled(String),
    /// The step did its work, but its arguments or its result could not be recorded.
    #[error("{0}")]
    Unusable(String),
}

/// An error a step may return: [`Failure`], or a type that is `Error + Serialize + DeserializeOwned`.
#[diagnostic::on_unimplemented(
    message = "a step cannot return the error type `{Self}`",
    label = "this error cannot be journaled",
    note = "return `forge_wf::Failure` (any error becomes one by `?`), or derive `Serialize` and `Deserialize` for `{Self}` and implement `std::error::Error`"
)]
pub trait StepFailure: Sized + Send + 'static {
    /// What the step's caller gets.
    type Seen: Send + 'static;

    /// What the journal keeps.
    fn record(self) -> Failure;

    /// What the caller gets of what the journal kept.
    ///
    /// # Errors
    /// What serde said, if the recorded error does not fit the type any more.
    fn seen(failure: Failure) -> std::result::Result<Self::Seen, String>;
}

impl StepFailure for Failure {
    type Seen = Failure;

    fn record(self) -> Failure {
        self
    }

    fn seen(failure: Failure) -> std::result::Result<Failure, String> {
        Ok(failure)
    }
}

impl<E> StepFailure for E
where
    E: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Seen = StepError<E>;

    fn record(self) -> Failure {
        match serde_json::to_value(&self) {
            Ok(value) => Failure::from(self).with_error(value),
            Err(error) => Failure::new(format!("{self} (the error itself cannot be written as JSON: {error})")),
        }
    }

    fn seen(failure: Failure) -> std::result::Result<StepError<E>, String> {
        let message = failure.message().to_owned();
        Ok(match failure.kind() {
            FailureKind::TimedOut => StepError::TimedOut(message),
            FailureKind::Panicked => StepError::Panicked(message),
            FailureKind::Cancelled => StepError::Cancelled(message),
            FailureKind::Unusable => StepError::Unusable(message),
            FailureKind::Returned => match failure.error() {
                Some(error) => {
                    StepError::Failed(serde_json::from_value(error.clone()).map_err(|error| error.to_string())?)
                }
                None => StepError::Unusable(message),
            },
        })
    }
}
