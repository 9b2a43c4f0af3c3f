use forge_wf::prelude::*;

#[step]
async fn refund(cents: u64) -> Result<()> {
    let _ = cents;
    Ok(())
}

#[step(compensate = refund, timeout = "1s")]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    refund(ctx, 1).await?;
    charge(ctx, 1).await
}

fn main() {}
