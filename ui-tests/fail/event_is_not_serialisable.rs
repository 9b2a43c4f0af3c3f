use forge_wf::prelude::*;

#[derive(Event)]
struct Approved {
    by: String,
}

#[derive(Serialize, Event)]
struct Refused {
    by: String,
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    Ok(ctx.wait_for_event::<Approved>().await?.by + &ctx.wait_for_event::<Refused>().await?.by)
}

fn main() {}
