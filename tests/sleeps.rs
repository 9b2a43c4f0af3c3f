//! How long a sleep is, and in which order sleeps end.

use std::time::{Duration, Instant};

use forge_wf::prelude::*;
use forge_wf_tests::on_every_backend;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::quick;

/// Begins sleeps in one poll, the longest first, each a microsecond longer than the next; returns the order in which they ended.
#[workflow]
async fn sleeps_at_once(ctx: &WorkflowContext, count: u64) -> Result<Vec<u64>> {
    let sleeps = (0..count).rev().map(|n| async move {
        ctx.sleep(Duration::from_micros(50_000 + n)).await?;
        Ok::<_, Failure>(n)
    });
    let mut sleeps: FuturesUnordered<_> = sleeps.collect();
    let mut ended = Vec::new();
    while let Some(n) = sleeps.next().await {
        ended.push(n?);
    }
    Ok(ended)
}

on_every_backend!(sleeps_that_begin_at_once_end_in_the_order_of_their_lengths, |database| {
    let rt = quick(database).build().await.unwrap();
    let ended = rt.start(sleeps_at_once, 300).await.unwrap().result().await.unwrap();
    assert_eq!(ended, (0..300).collect::<Vec<_>>());
    rt.shutdown().await;
});

/// Sleeps again and again; returns by how many nanoseconds the shortest was longer than asked for, by the clock of this process.
#[workflow]
async fn measures_its_sleeps(ctx: &WorkflowContext, count: u64) -> Result<i64> {
    let mut least = i64::MAX;
    for n in 0..count {
        let length = Duration::from_micros(2_000 + n * 37);
        let begun = forge_wf::nondet!(Instant::now());
        ctx.sleep(length).await?;
        let over = forge_wf::nondet!(begun.elapsed().as_nanos() as i64) - length.as_nanos() as i64;
        least = least.min(over);
    }
    Ok(least)
}

on_every_backend!(no_sleep_is_shorter_than_was_asked_for, |database| {
    // Renewals move the estimate of the database's time while the sleeps go on; no run leaves memory.
    let rt =
        quick(database).heartbeat(Duration::from_millis(5)).park_for(Duration::from_secs(600)).build().await.unwrap();
    let least = rt.start(measures_its_sleeps, 100).await.unwrap().result().await.unwrap();
    assert!(least >= 0, "a sleep was {} ns too short", -least);
    rt.shutdown().await;
});
