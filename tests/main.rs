//! Promises in plain words, kept on both backends.

mod anew;
mod bad_connections;
mod bad_input;
mod basics;
mod blocked;
mod child_undo;
mod children;
mod compensation;
mod crash;
mod crash_undo;
mod dropped;
mod edges;
mod events;
mod extremes;
mod failover;
mod faults;
mod fixtures;
mod floods;
mod generations;
mod imports;
mod mail;
mod moving;
mod numbers;
mod operators;
mod orders;
mod outages;
mod pooler;
mod refusals;
mod replays;
mod results;
mod retries;
mod rolling;
mod sagas;
mod shutdown;
mod sleeps;
mod sqlite_file;
mod starts;
mod strays;
mod suspects;
mod tidy;
mod timers;
mod trees;
mod unreadable;
mod versions;
mod workers;

use std::time::Duration;

use forge_wf::RuntimeBuilder;
use forge_wf::prelude::*;
use forge_wf_tests::Database;

/// Tests that open and close the gate of this process take turns.
static GATE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A builder with a short lease and a short poll, so that no test waits for the defaults.
///
/// With `FORGE_WF_TEST_EVICT` set, runs leave memory at every wait unless the test says otherwise.
fn quick(database: &Database) -> RuntimeBuilder {
    let builder = Runtime::builder()
        .database(database.url())
        .lease(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(400))
        .poll_interval(Duration::from_millis(20))
        .shutdown_grace(Duration::from_secs(5))
        .build_id("test build");
    if std::env::var_os("FORGE_WF_TEST_EVICT").is_some() { builder.park_for(Duration::ZERO) } else { builder }
}
