use forge_wf::prelude::*;

#[workflow]
async fn shipping(ctx: &WorkflowContext, to: String) -> Result<String> {
    let _ = ctx;
    Ok(to)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, to: String) -> Result<String> {
    shipping(ctx, to).await
}

fn main() {}
