//! Workflows call workflows: with and without an input, side by side, in helpers, themselves and each other.
use forge_wf::__private::{Callee, Workflow};
use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Order {
    id: String,
}

#[workflow(name = "ship-order", version = "3")]
pub async fn ship(ctx: &WorkflowContext, order: Order) -> Result<String> {
    let _ = ctx;
    Ok(order.id)
}

#[workflow(marker = Nightly)]
pub async fn nightly(ctx: &WorkflowContext) -> Result<u64> {
    let _ = ctx;
    Ok(1)
}

#[helper]
async fn ship_all(ctx: &WorkflowContext, orders: Vec<Order>) -> Result<usize> {
    let shipped = futures::future::join_all(orders.into_iter().map(|order| ship(ctx, order))).await;
    Ok(shipped.into_iter().filter(Result::is_ok).count())
}

#[workflow(steps(nightly as Nightly))]
pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
    let id = ship(ctx, Order { id: order.id.clone() }).await?;
    let (shipped, count) = tokio::join!(ship(ctx, order), nightly(ctx));
    ship_all(ctx, vec![Order { id }]).await?;
    Ok(count? + nightly(ctx).await? + shipped?.len() as u64)
}

/// Calls itself.
#[workflow]
async fn countdown(ctx: &WorkflowContext, from: u32) -> Result<u32> {
    if from == 0 { Ok(0) } else { Ok(countdown(ctx, from - 1).await?) }
}

/// Two that call each other, and one of them through a helper.
#[workflow]
async fn ping(ctx: &WorkflowContext, times: u32) -> Result<u32> {
    if times == 0 { Ok(0) } else { Ok(pong(ctx, times - 1).await?) }
}

#[workflow]
async fn pong(ctx: &WorkflowContext, times: u32) -> Result<u32> {
    back(ctx, times).await
}

#[helper]
async fn back(ctx: &WorkflowContext, times: u32) -> Result<u32> {
    Ok(ping(ctx, times).await?)
}

mod next {
    use super::Order;
    use forge_wf::prelude::*;

    #[step]
    async fn pack(id: &str) -> Result<String> {
        Ok(id.to_owned())
    }

    /// As `ship`, with another version and another body: the same to its parents.
    #[workflow(name = "ship-order", version = "4")]
    pub async fn ship(ctx: &WorkflowContext, order: Order) -> Result<String> {
        pack(ctx, &order.id).await
    }

    #[workflow(name = "ship-order")]
    pub async fn other_input(ctx: &WorkflowContext) -> Result<String> {
        pack(ctx, "").await
    }
}

#[workflow(name = "countdown")]
async fn without_itself(_ctx: &WorkflowContext, from: u32) -> Result<u32> {
    Ok(from)
}

fn main() {
    assert_eq!(<ship as Workflow>::DEFINITION.child_key, "child:ship-order");
    assert_eq!(<Nightly as Workflow>::DEFINITION.child_key, "child:nightly");
    assert_eq!(<ship as Callee>::DIGEST, <next::ship as Callee>::DIGEST);
    assert_ne!(<ship as Callee>::DIGEST, <next::other_input as Callee>::DIGEST);
    assert_ne!(ship::SIGNATURE, next::ship::SIGNATURE);
    assert_ne!(ping::SIGNATURE, pong::SIGNATURE);
    assert_ne!(countdown::SIGNATURE, without_itself::SIGNATURE);
    // Frozen: databases hold signatures.
    assert_eq!(format!("{:032x}", <ship as Callee>::DIGEST), "f60190d6ede18ff6681aca38396ae7be");
    assert_eq!(format!("{:032x}", checkout::SIGNATURE), "be687610878c24b3be5e0cdf032d9b40");
}
