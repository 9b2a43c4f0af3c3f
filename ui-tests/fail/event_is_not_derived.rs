use forge_wf::prelude::*;

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    ctx.wait_for_event::<String>().await
}

#[workflow(events(u64))]
async fn ship(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
