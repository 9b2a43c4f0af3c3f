//! The leaves: plain values every other room may use, with no room below them.

pub mod child_error;
pub mod failure;
pub mod fingerprint;
pub mod ids;
pub mod limits;
pub mod numbers;
pub mod panic;
pub mod payload;
pub mod status;
pub mod time;

pub use child_error::ChildError;
pub use failure::{Failure, FailureKind};
pub use ids::{CallId, Digest, Lane, RunId, WorkerId};
pub use limits::Limits;
pub use payload::{Payload, PayloadError};
pub use status::{BlockReason, Phase, Served, State, Status, VersionStatus};
pub use time::Timestamp;
