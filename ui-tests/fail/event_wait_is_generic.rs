use forge_wf::prelude::*;

#[helper]
async fn wait<E: forge_wf::Event>(ctx: &WorkflowContext) -> Result<E> {
    ctx.wait_for_event::<E>().await
}

#[derive(Serialize, Deserialize, Event)]
struct Approved;

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    wait::<Approved>(ctx).await?;
    Ok(())
}

fn main() {}
