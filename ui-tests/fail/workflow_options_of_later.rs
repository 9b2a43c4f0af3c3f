use forge_wf::prelude::*;

#[workflow(version = "1", schedule("0 7 * * *"))]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(replaces = 1)]
async fn other(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
