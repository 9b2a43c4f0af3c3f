//! `crate = path` is all the expansion needs to find the library.
mod vendor {
    pub use forge_wf as durable;
}

use vendor::durable::{Event, Result, WorkflowContext, helper, step, workflow};

#[step(crate = crate::vendor::durable)]
pub async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[derive(serde::Serialize, serde::Deserialize, Event)]
#[event(crate = crate::vendor::durable)]
pub struct Approved;

#[workflow(crate = crate::vendor::durable, events("paid": u64))]
pub async fn wait(ctx: &WorkflowContext) -> Result<u64> {
    ctx.wait_for_event::<Approved>().await?;
    ctx.wait_for_event_named("paid").await
}

#[helper(crate = crate::vendor::durable)]
pub async fn help(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).await
}

#[workflow(crate = crate::vendor::durable)]
pub async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    wait(ctx).await?;
    help(ctx).await
}

fn main() {}
