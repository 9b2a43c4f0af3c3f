use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Approved {
    by: String,
}

macro_rules! wait_for {
    ($ctx:ident, $event:ty) => {
        $ctx.wait_for_event::<$event>().await
    };
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    Ok(wait_for!(ctx, Approved)?.by)
}

fn main() {}
