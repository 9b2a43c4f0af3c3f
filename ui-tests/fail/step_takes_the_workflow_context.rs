use forge_wf::prelude::*;

#[step]
async fn ship() -> Result<()> {
    Ok(())
}

#[step]
async fn charge(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    ship(ctx).await?;
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).await
}

fn main() {}
