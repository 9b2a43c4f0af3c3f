use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use forge_wf::prelude::*;

struct Utc;

impl Utc {
    fn now() -> u64 {
        1
    }
}

struct Uuid;

impl Uuid {
    fn new_v4() -> u64 {
        1
    }
}

mod rand {
    pub fn random() -> u64 {
        1
    }
}

#[step]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow]
async fn checkout(context: &WorkflowContext, prices: HashMap<String, u64>) -> Result<u64> {
    let at = Utc::now();
    let (a, b) = tokio::join!(charge(context, Uuid::new_v4()), charge(context, rand::random()));
    if SystemTime::now().elapsed().is_ok() {
        charge(context, at).await?;
    }
    for price in prices.values() {
        charge(context, *price).await?;
    }
    Ok(a? + b?)
}

#[helper]
async fn helper(ctx: &WorkflowContext) -> Result<()> {
    use std::thread as threads;
    use std::time::Instant as Clock;
    let begun = (Clock::now(), Instant::now());
    tokio::spawn(async {});
    threads::sleep(begun.0 - begun.1);
    tokio::time::sleep(begun.0 - begun.1).await;
    tokio::task::yield_now().await;
    let (_told, _) = tokio::sync::watch::channel(1);
    tokio::select! {
        paid = charge(ctx, 1) => drop(paid?),
        paid = charge(ctx, 2) => drop(paid?),
    }
    Ok(())
}

fn main() {}
