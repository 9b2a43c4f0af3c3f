//! Durable workflows: annotated async functions that survive `kill -9`.

extern crate self as forge_wf;

#[doc(hidden)]
#[path = "macro_support.rs"]
pub mod __private;
pub mod api;
pub mod contract;
pub mod db;
pub mod engine;
pub mod journal;
pub mod model;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

use __private as macro_support;

pub use api::builder::RuntimeBuilder;
pub use api::call::{ChildCall, StepCall};
pub use api::client::Client;
pub use api::context::WorkflowContext;
pub use api::error::Error;
pub use api::failure::{Failure, FailureKind, Result, StepError};
pub use api::handle::{Counts, RunHandle};
pub use api::runtime::Runtime;
pub use api::start::Start;
pub use api::step_context::StepContext;
pub use engine::retry::Retry;
pub use forge_wf_macros::{helper, step, workflow};
pub use model::{RunId, Status};

/// Everything a file of workflows needs:
///
/// ```
/// use forge_wf::prelude::*;
///
/// #[step(retry(max = 3), timeout = "5s")]
/// async fn charge(card: &str, cents: u64) -> Result<String> {
///     Ok(format!("charged {cents} to {card}"))
/// }
///
/// #[workflow]
/// async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<String> {
///     charge(ctx, "card-1", cents).await
/// }
/// ```
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Client, Failure, Result, Retry, Runtime, StepContext, StepError, WorkflowContext, helper, step, workflow,
    };
}
