//! `crate = path` is all the expansion needs to find the library.
mod vendor {
    pub use forge_wf as durable;
}

use vendor::durable::{Result, WorkflowContext, helper, step, workflow};

#[step(crate = crate::vendor::durable)]
pub async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[helper(crate = crate::vendor::durable)]
pub async fn help(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).await
}

#[workflow(crate = crate::vendor::durable)]
pub async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    help(ctx).await
}

fn main() {}
