//! PostgreSQL keeps every promise of the store, and some of its own.

mod concurrency;
mod connecting;
mod failover;
mod floods;
mod hints;
mod joining;
mod newer;
mod slow;
mod support;
mod takeovers;
mod unreadable;

use std::sync::Arc;

use self::support::Scratch;
use crate::store::Store;

/// A store over an empty database, which goes when the test ends.
async fn fresh() -> (Arc<dyn Store>, Scratch) {
    let scratch = Scratch::new().await;
    (Arc::new(scratch.store().await), scratch)
}

mod conformance {
    crate::conformance_suite!(
        #[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
        super::super::fresh
    );
}
