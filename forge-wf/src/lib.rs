#![doc = include_str!("../README.md")]
//!
//! # Where to find what
//!
//! - [`step`], [`workflow`] and [`helper`]: the attributes and their options.
//! - [`Runtime`] runs workflows in this process, [`Client`] starts them from another; both give [`RunHandle`]s.
//! - [`WorkflowContext`] and [`StepContext`]: what bodies and steps are given; [`StepCall`], [`ChildCall`], [`EventCall`] and
//!   [`SleepCall`]: durable calls written down in a body. [`awaiting`] says what else a body may await.
//! - [`Event`](macro@Event): a payload sent to a run from outside, with [`SendEvent`]; [`RunRef`] says to which.
//! - [`Failure`], [`StepError`] and [`Error`]: what goes wrong in steps and workflows, in typed steps, and around them.
//!
//! The rooms behind them (`engine`, `store`, `journal`, `model`, `contract`, `db`) are public for tests and tools of this
//! repository only, and may change with any release.

extern crate self as forge_wf;

#[doc(hidden)]
#[path = "macro_support.rs"]
pub mod __private;
pub mod api;
pub mod awaiting;
pub mod contract;
#[doc(hidden)]
pub mod db;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod journal;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use api::builder::RuntimeBuilder;
pub use api::bulk::{GiveOrders, OrdersGiven};
pub use api::call::StepCall;
pub use api::child::{ChildCall, ChildHandle, DetachedCall};
pub use api::client::Client;
pub use api::context::WorkflowContext;
pub use api::definition::Event;
pub use api::error::Error;
pub use api::failure::{Failure, FailureKind, Result, StepError};
pub use api::fork::MakeFork;
pub use api::handle::{Counts, RunHandle};
pub use api::list::{Cursor, Filter, Page, RunSummary};
pub use api::moves::{MoveRuns, RunsMoved};
pub use api::order::{AuditLine, GiveOrder};
pub use api::preflight::{Preflight, Problem, Verdict, VersionCounts, preflight};
pub use api::result::AwaitResult;
pub use api::runtime::Runtime;
pub use api::send::{RunRef, SendEvent, UntakenEvent};
pub use api::show::{EntryDetails, RunDetails};
pub use api::start::Start;
pub use api::step_context::StepContext;
pub use api::time::{checked_seconds, days, hours, minutes, seconds};
pub use api::timeout::{Timed, Timeout};
pub use api::wait::{EventCall, SleepCall};
pub use contract::schema::Schema;
pub use engine::random::WorkflowRng;
pub use engine::retry::Retry;
pub use forge_wf_macros::{Event, Schema, helper, step, workflow};
pub use model::{ChildError, PayloadError, RunId, Status, Timestamp};
pub use store::{Join, StoreError, UnknownRun, Unserved};

/// Takes code in the body of a workflow or helper out of the determinism lint: for what gives something else on every replay and does
/// not change which calls the body makes, nor with what. Whether that is so, nobody checks but the replay.
///
/// ```
/// use forge_wf::prelude::*;
///
/// #[workflow]
/// async fn checkout(ctx: &WorkflowContext, order: u64) -> Result<u64> {
///     println!("{order} at {:?}", forge_wf::nondet!(std::time::SystemTime::now()));
///     Ok(order)
/// }
/// ```
#[macro_export]
macro_rules! nondet {
    ($code:expr) => {
        $code
    };
}

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
        ChildError, Client, Event, Failure, Result, Retry, RunRef, Runtime, Schema, StepContext, StepError,
        WorkflowContext, days, helper, hours, minutes, seconds, step, workflow,
    };
}
