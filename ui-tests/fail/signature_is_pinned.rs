use forge_wf::prelude::*;

#[step]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow(signature = "00000000000000000000000000000000")]
async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    charge(ctx, cents).await
}

fn main() {}
