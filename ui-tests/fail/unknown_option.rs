use forge_wf::prelude::*;

#[step(colour = "red")]
async fn charge() -> Result<()> {
    Ok(())
}

#[workflow(1)]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    charge(ctx).await
}

#[helper(version = "1")]
async fn help(ctx: &WorkflowContext) -> Result<()> {
    charge(ctx).await
}

fn main() {}
