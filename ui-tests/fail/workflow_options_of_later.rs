use forge_wf::prelude::*;

#[workflow(version = "1", signature = "6b1e", schedule("0 7 * * *"))]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(replaces = "1", compensate = undo, status)]
async fn other(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
