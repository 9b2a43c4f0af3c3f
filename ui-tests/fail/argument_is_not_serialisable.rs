use forge_wf::prelude::*;

struct Order;

#[step]
async fn charge(cents: u64, order: Order) -> Result<()> {
    let _ = (cents, order);
    Ok(())
}

#[step]
async fn charge_all(orders: &[Order], maybe: Option<&Order>) -> Result<()> {
    let _ = (orders, maybe);
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    charge(ctx, 1, Order).await
}

fn main() {}
