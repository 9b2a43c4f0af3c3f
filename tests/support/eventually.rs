//! Waiting for a condition, with a bound that is only there to fail.

use std::time::{Duration, Instant};

/// How long a condition may take. Far above what it takes: a test that meets this bound has found a defect.
const BOUND: Duration = Duration::from_secs(60);

/// Asks again and again until `condition` gives something, and returns that.
///
/// # Panics
/// If it gives nothing for a minute.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begun.elapsed() < BOUND, "{what} did not come about within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Tries what must be done before a deadline with more and more time, until that was enough.
///
/// `attempt` is told how much time to give: 1, then 2, 4 and so on. It returns whether that was enough. Where the time is fixed, it is
/// only repeated.
///
/// # Panics
/// If ten times are not enough.
pub async fn in_time(mut attempt: impl AsyncFnMut(u32) -> bool) {
    for time in (0..10).map(|n| 1 << n) {
        if attempt(time).await {
            return;
        }
    }
    panic!("nothing came about in time, however long it was");
}
