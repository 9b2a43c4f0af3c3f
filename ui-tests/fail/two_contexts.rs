use forge_wf::prelude::*;

#[step]
async fn charge(ctx: &StepContext, again: &StepContext) -> Result<()> {
    let _ = (ctx, again);
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, again: &WorkflowContext) -> Result<()> {
    let _ = (ctx, again);
    Ok(())
}

fn main() {}
