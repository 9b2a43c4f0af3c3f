use forge_wf::prelude::*;

#[workflow]
async fn checkout(ctx: &WorkflowContext, order: String, cents: u64) -> Result<u64> {
    let _ = (ctx, order);
    Ok(cents)
}

#[workflow]
async fn borrowing(ctx: &WorkflowContext, order: &str) -> Result<()> {
    let _ = (ctx, order);
    Ok(())
}

fn main() {}
