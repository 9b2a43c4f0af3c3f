use forge_wf::prelude::*;

async fn refund(cents: u64) -> Result<()> {
    let _ = cents;
    Ok(())
}

#[workflow]
async fn unship(ctx: &WorkflowContext, order: u64) -> Result<()> {
    let _ = (ctx, order);
    Ok(())
}

#[step(compensate = refund)]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = refund(cents))]
async fn charge_all(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = unship)]
async fn ship(order: u64) -> Result<u64> {
    Ok(order)
}

#[step(compensate = unship(output))]
async fn ship_all(order: u64) -> Result<u64> {
    Ok(order)
}

#[step(compensate = nowhere)]
async fn somewhere(order: u64) -> Result<u64> {
    Ok(order)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, 1).await?;
    charge_all(ctx, 1).await?;
    ship(ctx, 1).await?;
    ship_all(ctx, 1).await?;
    somewhere(ctx, 1).await
}

fn main() {}
