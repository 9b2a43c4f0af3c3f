use forge_wf::prelude::*;

#[step]
async fn charge<T: Serialize>(what: T) -> Result<()> {
    let _ = what;
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    charge(ctx, 1).await
}

fn main() {}
