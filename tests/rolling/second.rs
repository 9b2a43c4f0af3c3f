//! A worker that has version 2: `rolling_second URL`.

#[path = "flow.rs"]
mod flow;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;

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
