//! What a body may do: what the context gives, what has an order, and what is said not to matter.
#![deny(unused)]

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use forge_wf::nondet;
use forge_wf::prelude::*;

#[step]
async fn charge(cents: u64) -> Result<u64> {
    // Only bodies run again.
    let _ = SystemTime::now();
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, prices: HashMap<String, u64>) -> Result<u64> {
    let begun = nondet!(SystemTime::now());
    let (now, id) = (ctx.now(), ctx.uuid());
    let sorted: BTreeMap<_, _> = nondet!(prices.iter().map(|(name, price)| (name.clone(), *price)).collect());
    for price in sorted.values() {
        charge(ctx, *price).await?;
    }
    tokio::select! {
        biased;
        paid = charge(ctx, 1) => drop(paid?),
        slept = ctx.sleep(hours(1)) => slept?,
    }
    let _ = (begun, now, id, prices.len(), prices.get("a"));
    Ok(1)
}

fn main() {
    let _ = checkout::SIGNATURE;
}
