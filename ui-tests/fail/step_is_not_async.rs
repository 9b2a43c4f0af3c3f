use forge_wf::prelude::*;

#[step]
fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).await
}

fn main() {}
