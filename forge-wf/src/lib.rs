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

use __private as macro_support;

pub use api::call::{ChildCall, StepCall};
pub use api::context::WorkflowContext;
pub use api::failure::{Failure, Result, StepError};
pub use api::step_context::StepContext;
pub use engine::retry::Retry;
pub use forge_wf_macros::{helper, step, workflow};
pub use model::RunId;

/// Everything a file of workflows needs: `use forge_wf::prelude::*;`
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{Failure, Result, Retry, StepContext, StepError, WorkflowContext, helper, step, workflow};
}
