//! A worker that has version 2 only, which goes on with those runs of version 1 that fit it: `rolling_heir URL`.

#[path = "flow.rs"]
mod flow;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;

/// Version 2, which does one thing more for odd numbers.
#[workflow(name = "rolling", version = "2", replaces = "1")]
pub async fn rolling_2(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let mut noted = vec![note(ctx, "1", "before").await?];
    if n % 2 == 1 {
        noted.push(note(ctx, "2", "between").await?);
    }
    ctx.wait_for_event::<Go>().await?;
    noted.push(note(ctx, "2", "after").await?);
    Ok((n, noted))
}

fn main() -> std::result::Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    flow::serve()
}
