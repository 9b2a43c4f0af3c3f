//! A shop, as it was deployed.

use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Schema)]
pub struct Order {
    pub id: String,
    pub cents: u64,
}

#[derive(Serialize, Deserialize, Schema)]
pub struct Receipt {
    pub id: i64,
}

#[derive(Serialize, Deserialize, Schema, Event)]
pub struct Approved {
    pub by: String,
}

#[step]
async fn refund(receipt: i64, cents: u64) -> Result<()> {
    println!("{cents} back for {receipt}");
    Ok(())
}

#[step(compensate = refund(output.id, order.cents))]
async fn charge(order: &Order) -> Result<Receipt> {
    Ok(Receipt { id: order.cents as i64 })
}

#[step]
async fn score(id: &str) -> Result<usize> {
    Ok(id.len())
}

#[step]
async fn mail(to: &str) -> Result<()> {
    println!("to {to}");
    Ok(())
}

#[helper]
async fn tell_all(ctx: &WorkflowContext, to: &[String]) -> Result<()> {
    for one in to {
        mail(ctx, one).await?;
    }
    Ok(())
}

#[step]
async fn recall(label: String) -> Result<()> {
    println!("recalled {label}");
    Ok(())
}

/// A documentation test is no part of the crate, so its workflow may be called like one of ours:
///
/// ```
/// use forge_wf::prelude::*;
///
/// #[workflow]
/// async fn ship(ctx: &WorkflowContext) -> Result<()> {
///     Ok(())
/// }
/// ```
#[workflow(compensate = recall)]
pub async fn ship(ctx: &WorkflowContext, parcel: String) -> Result<String> {
    mail(ctx, &parcel).await?;
    Ok(parcel)
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<Receipt> {
    if score(ctx, &order.id).await? > 3 {
        ctx.wait_for_event::<Approved>().await?;
    }
    let receipt = charge(ctx, &order).await?;
    ship(ctx, order.id.clone()).await?;
    tell_all(ctx, &[order.id]).await?;
    Ok(receipt)
}

#[cfg(test)]
mod tests {
    #[test]
    fn contracts_are_kept() {
        forge_wf::contract::assert_lock!();
    }
}
