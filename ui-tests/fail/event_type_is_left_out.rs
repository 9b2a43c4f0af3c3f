use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Approved {
    by: String,
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    let approved: Approved = ctx.wait_for_event().await?;
    Ok(approved.by)
}

fn main() {}
