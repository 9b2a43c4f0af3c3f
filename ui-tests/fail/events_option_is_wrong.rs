use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
struct Approval;

#[workflow(events = Approval)]
async fn no_list(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(events("approved", "approved" = Approval, approved: Approval, "", "": Approval))]
async fn no_types(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[helper(events("approved": Approval, "approved": u64, "paid": &str, "sent": Vec<impl Serialize>))]
async fn wrong_types(ctx: &WorkflowContext) -> Result<String> {
    ctx.wait_for_event_named::<String>("paid").await
}

#[step(events("approved": Approval))]
async fn step() -> Result<()> {
    Ok(())
}

fn main() {}
