//! [`ChildError`]: what a parent gets when a child run does not complete.

use super::{Failure, FailureKind};

/// What a parent gets when a child run does not complete.
///
/// `?` makes the child's own failure of it, with its code and details.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The child's workflow returned this failure.
    #[error("{0}")]
    Failed(Failure),
    /// The child had not ended when the timeout of the call was over.
    #[error("{0}")]
    TimedOut(Failure),
    /// The child was cancelled.
    #[error("{0}")]
    Cancelled(Failure),
    /// The child's input, or its result, cannot be journaled or read.
    #[error("{0}")]
    Unusable(Failure),
}

impl ChildError {
    /// By the kind of this failure.
    pub(crate) fn of(failure: Failure) -> Self {
        match failure.kind() {
            FailureKind::TimedOut => Self::TimedOut(failure),
            FailureKind::Cancelled => Self::Cancelled(failure),
            FailureKind::Unusable => Self::Unusable(failure),
            FailureKind::Returned | FailureKind::Panicked => Self::Failed(failure),
        }
    }

    /// What happened, with code and details.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Failed(failure) | Self::TimedOut(failure) | Self::Cancelled(failure) | Self::Unusable(failure) => {
                failure
            }
        }
    }
}
