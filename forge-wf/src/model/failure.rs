//! [`Failure`]: what steps and workflows return when they fail, and what the journal keeps of it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChildError, Limits, Payload};

/// Longest chain of sources kept; a longer one is cut, since an error may be its own source.
const SOURCES_MAX: usize = 32;

/// Why a step or a workflow failed: made by `?` from any [`std::error::Error`], and journaled.
///
/// It comes back from the journal equal to what went in, so code may branch on it. Like `anyhow::Error` it is not
/// itself a `std::error::Error`, which is what lets `?` convert every other error into it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(Box<Parts>);

/// Boxed, so that a `Result` of users is no larger than its value: most steps succeed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Parts {
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "is_false")]
    permanent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "FailureKind::is_returned")]
    kind: FailureKind,
    /// The step's own error, where it has a type of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<serde_json::Value>,
}

/// How a failure came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The code returned it.
    #[default]
    Returned,
    /// An attempt or a call took longer than its timeout.
    TimedOut,
    /// The step panicked.
    Panicked,
    /// The run was cancelled.
    Cancelled,
    /// The step did its work, but its arguments or its result could not be recorded or read.
    Unusable,
}

impl FailureKind {
    fn is_returned(&self) -> bool {
        *self == Self::Returned
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The `code` of a failure whose step worked but whose result could not be recorded.
pub const RESULT_UNUSABLE: &str = "result_unusable";
/// The `code` of a failure whose arguments could not be written as JSON.
pub const ARGUMENTS_UNUSABLE: &str = "arguments_unusable";
/// The `code` of a call that was given up because its timeout was over.
pub const TIMED_OUT: &str = "timed_out";
/// The `code` of a wait that would be longer than is allowed.
pub const TIME_OUT_OF_RANGE: &str = "time_out_of_range";
/// The `code` of a wait for a name that the workflow's attribute does not declare.
pub const EVENT_UNDECLARED: &str = "event_undeclared";
/// The `code` of a run that cannot go on as its next generation while children are attached to this one.
pub const WORK_IN_FLIGHT: &str = "work_in_flight";
/// The `code` of a run whose input does not fit its workflow.
pub const INPUT_UNUSABLE: &str = "input_unusable";

impl Failure {
    /// A failure with this message; a step is tried again if its policy says so.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(Box::new(Parts {
            message: message.to_string(),
            sources: Vec::new(),
            code: None,
            details: None,
            permanent: false,
            retry_after: None,
            kind: FailureKind::Returned,
            error: None,
        }))
    }

    /// A failure that no further attempt can mend, whatever the retry policy says.
    pub fn permanent(message: impl fmt::Display) -> Self {
        let mut failure = Self::new(message);
        failure.0.permanent = true;
        failure
    }

    /// The same failure with a code for programs to branch on.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// The same failure with details, as JSON.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// The same failure, asking that the next attempt wait at least this long (as an HTTP `Retry-After` does).
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The same failure, of another kind; the engine's own failures are made this way.
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: FailureKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// A failure made of a typed error, which is kept as JSON so that it comes back typed.
    pub(crate) fn with_error(mut self, error: serde_json::Value) -> Self {
        self.0.error = Some(error);
        self
    }

    /// The failure of a step whose result cannot be recorded.
    pub(crate) fn unusable(code: &str, message: impl fmt::Display) -> Self {
        Self::permanent(message).with_code(code).of_kind(FailureKind::Unusable)
    }

    /// As the journal keeps it. One that cannot be written (its details too large or not JSON) is cut to its message.
    pub(crate) fn to_payload(&self, limits: &Limits) -> Payload {
        Payload::encode(self, limits).unwrap_or_else(|error| {
            let short: String = self.0.message.chars().take(1_000).collect();
            let cut =
                Self::unusable(RESULT_UNUSABLE, format!("{short} (the failure itself cannot be journaled: {error})"));
            Payload::encode(&cut, &Limits::default()).unwrap_or_else(|_| Payload::null())
        })
    }

    /// What happened, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The messages of the error's sources, outermost first.
    pub fn sources(&self) -> &[String] {
        &self.0.sources
    }

    /// The code for programs to branch on.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Details, as JSON.
    pub fn details(&self) -> Option<&serde_json::Value> {
        self.0.details.as_ref()
    }

    /// Whether no further attempt can mend it.
    pub fn is_permanent(&self) -> bool {
        self.0.permanent
    }

    /// How long the next attempt should wait at least.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether something took longer than its timeout: an attempt of a step, or a whole call.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == FailureKind::TimedOut
    }

    /// How it came about.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The step's own error, as JSON, where it has a type of its own.
    pub(crate) fn error(&self) -> Option<&serde_json::Value> {
        self.0.error.as_ref()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        // A child's failure is a failure already, and keeps its code and its details on the way up.
        if let Some(child) = (&error as &dyn std::any::Any).downcast_ref::<ChildError>() {
            return child.failure().clone();
        }
        let mut failure = Self::new(&error);
        let mut source = error.source();
        while let Some(inner) = source.filter(|_| failure.0.sources.len() < SOURCES_MAX) {
            failure.0.sources.push(inner.to_string());
            source = inner.source();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() {
            for source in &self.0.sources {
                write!(f, ": {source}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")?;
        if let Some(code) = &self.0.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}
