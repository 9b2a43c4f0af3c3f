use forge_wf::prelude::*;

#[workflow]
pub fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
