use forge_wf::prelude::*;

#[step(retyr(max = 3), retry(maxx = 2, max = 3), time_out = "1s")]
async fn charge() -> Result<()> {
    Ok(())
}

#[workflow(verison = "2")]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    charge(ctx).await
}

fn main() {}
