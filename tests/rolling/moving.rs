//! A worker whose version 2 goes on with those runs of version 1 that fit it: `rolling_moving URL`.

#[path = "flow.rs"]
mod flow;
#[path = "held.rs"]
mod held;

use flow::{Go, Noted, note};
use forge_wf::prelude::*;
use held::hold;

/// Version 1, which takes no new runs.
#[workflow(name = "rolling", version = "1", status = deprecated)]
pub async fn rolling_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "1", "after").await?]))
}

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

/// Version 1 of another one, which takes no new runs.
#[workflow(name = "holding", version = "1", status = deprecated)]
pub async fn holding_1(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    hold(ctx, n).await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "1", "after").await?]))
}

/// Version 2 of it, which no run fits that holds something.
#[workflow(name = "holding", version = "2", replaces = "1")]
pub async fn holding_2(ctx: &WorkflowContext, n: u64) -> Result<(u64, Vec<Noted>)> {
    let before = note(ctx, "1", "before").await?;
    ctx.wait_for_event::<Go>().await?;
    Ok((n, vec![before, note(ctx, "2", "after").await?]))
}

fn main() -> std::result::Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    flow::serve()
}
