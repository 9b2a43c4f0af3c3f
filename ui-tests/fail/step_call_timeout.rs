use forge_wf::prelude::*;
use std::time::Duration;

#[step]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).timeout(Duration::from_secs(1)).await
}

fn main() {}
