use forge_wf::prelude::*;

struct Order;

#[workflow]
async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<()> {
    let _ = (ctx, order);
    Ok(())
}

fn main() {}
