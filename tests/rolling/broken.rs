//! A worker whose version 1 was changed under the runs it has: `rolling_broken URL`.

#[path = "flow.rs"]
mod flow;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;

/// Version 1, with the same signature.
#[workflow(name = "rolling", version = "1")]
pub async fn rolling_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    let after = note(ctx, "1", "after").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, after]))
}

fn main() -> std::result::Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    flow::serve()
}
