use forge_wf::prelude::*;

#[workflow(version = 1)]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(version = "", name = checkout, steps = charge)]
async fn other(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
