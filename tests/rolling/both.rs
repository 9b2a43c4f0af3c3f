//! A worker that has versions 1 and 2: `rolling_both URL`.

#[path = "flow.rs"]
mod flow;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;

/// Version 1, which takes no new runs.
#[workflow(name = "rolling", version = "1", status = deprecated)]
pub async fn rolling_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "1", "after").await?]))
}

/// Version 2, which does one thing more.
#[workflow(name = "rolling", version = "2")]
pub async fn rolling_2(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "2", "before").await?;
    let between = note(ctx, "2", "between").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, between, note(ctx, "2", "after").await?]))
}

fn main() -> std::result::Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    flow::serve()
}
