//! What tests need of the library: replays of ended runs, stores that fail on cue, the promises every store keeps.

mod faulty;
mod replays;

pub use faulty::{Fault, FaultyStore, HoldPoint, Plan, Side};
pub use replays::replays_equal;

use std::sync::Arc;

use crate::Error;
use crate::store::Store;

/// Opens the store of this URL, for tests that look behind the runtime.
///
/// # Errors
/// As [`Client::connect`](crate::Client::connect).
pub async fn open_store(url: &str) -> Result<Arc<dyn Store>, Error> {
    crate::api::connect::connect(crate::store::address::Opening::at(url)).await
}
