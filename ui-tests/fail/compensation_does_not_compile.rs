use forge_wf::prelude::*;

#[step]
async fn release(hold: impl Serialize) -> Result<()> {
    let _ = hold;
    Ok(())
}

#[step(compensate = release)]
async fn reserve(sku: &str) -> Result<String> {
    Ok(sku.to_owned())
}

#[step(compensate = release(output))]
async fn reserve_all(sku: &str) -> Result<String> {
    Ok(sku.to_owned())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    reserve_all(ctx, "a").await?;
    reserve(ctx, "a").await
}

fn main() {}
