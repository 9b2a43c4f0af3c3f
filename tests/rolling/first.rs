//! A worker that has version 1: `rolling_first URL`.

#[path = "flow.rs"]
mod flow;
#[path = "held.rs"]
mod held;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;
use held::hold;

/// Version 1.
#[workflow(name = "rolling", version = "1")]
pub async fn rolling_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "1", "after").await?]))
}

/// Version 1 of another one.
#[workflow(name = "holding", version = "1")]
pub async fn holding_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    hold(ctx, n).await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "1", "after").await?]))
}

fn main() -> std::result::Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    flow::serve()
}
