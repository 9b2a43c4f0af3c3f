use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
struct Approval {
    by: String,
}

#[workflow]
async fn nothing_declared(ctx: &WorkflowContext) -> Result<Approval> {
    ctx.wait_for_event_named::<Approval>("approved").await
}

#[workflow(events("approved": Approval))]
async fn misspelt(ctx: &WorkflowContext) -> Result<Approval> {
    ctx.wait_for_event_named("aproved").await
}

#[helper]
async fn help(ctx: &WorkflowContext) -> Result<Approval> {
    ctx.wait_for_event_named::<Approval>("approved").await
}

#[workflow(events("approved": Approval))]
async fn declared_but_not_in_the_helper(ctx: &WorkflowContext) -> Result<Approval> {
    help(ctx).await
}

#[workflow(events("approved": Approval))]
async fn another_payload(ctx: &WorkflowContext) -> Result<u64> {
    ctx.wait_for_event_named::<u64>("approved").await
}

#[workflow]
async fn computed(ctx: &WorkflowContext, line: u32) -> Result<Approval> {
    let name = format!("approved-{line}");
    ctx.wait_for_event_named::<Approval>(&name).await
}

fn main() {}
