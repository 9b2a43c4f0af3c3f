//! Promises in plain words, kept on both backends.

mod bad_input;
mod basics;
mod blocked;
mod crash;
mod extremes;
mod faults;
mod outages;
mod retries;
mod shutdown;
mod tidy;
mod workers;

use std::time::Duration;

use forge_wf::RuntimeBuilder;
use forge_wf::prelude::*;
use forge_wf_tests::Database;

/// A builder with a short lease and a short poll, so that no test waits for the defaults.
fn quick(database: &Database) -> RuntimeBuilder {
    Runtime::builder()
        .database(database.url())
        .lease(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(400))
        .poll_interval(Duration::from_millis(20))
        .shutdown_grace(Duration::from_secs(5))
        .build_id("test build")
}
