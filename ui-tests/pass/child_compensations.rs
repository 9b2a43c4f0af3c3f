//! Steps undo child runs, by a path or by a call.
#![deny(unused)]

use forge_wf::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    id: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Parcel(String);

/// Takes the output alone, and what only a step has.
#[step]
async fn recall(ctx: &StepContext, #[state] office: &String, parcel: &Parcel) -> Result<()> {
    let _ = (ctx.attempt(), office, &parcel.0);
    Ok(())
}

#[workflow(compensate = recall, version = "2", timeout = "1h")]
async fn ship(ctx: &WorkflowContext, order: Order) -> Result<Parcel> {
    let _ = ctx;
    Ok(Parcel(order.id))
}

/// Takes the input too, in whatever form.
#[step]
async fn recall_from(places: &[String], parcel: Option<Parcel>) -> Result<()> {
    let _ = (places, parcel.map(|parcel| parcel.0));
    Ok(())
}

#[workflow(compensate = self::recall_from)]
async fn ship_to_all(ctx: &WorkflowContext, places: Vec<String>) -> Result<Parcel> {
    let _ = ctx;
    Ok(Parcel(places.concat()))
}

#[step]
async fn refund(id: &str, cents: u64) -> Result<()> {
    let _ = (id, cents);
    Ok(())
}

#[workflow(compensate = refund(&output, order.cents))]
async fn charge(ctx: &WorkflowContext, mut order: Order) -> Result<String> {
    let _ = ctx;
    order.id.push('!');
    Ok(order.id)
}

/// An input may be a pattern, whose names the call knows.
#[workflow(compensate = refund(&id, cents + output.len() as u64))]
async fn charge_in_parts(ctx: &WorkflowContext, (id, cents): (String, u64)) -> Result<Vec<u64>> {
    let _ = (ctx, id);
    Ok(vec![cents])
}

#[step]
async fn forget() -> Result<()> {
    Ok(())
}

#[workflow(compensate = forget())]
async fn remember(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[step]
async fn count_back(count: u64) -> Result<()> {
    let _ = count;
    Ok(())
}

/// Workflows may call themselves, and their undos with them.
#[workflow(compensate = count_back)]
async fn count(ctx: &WorkflowContext) -> Result<u64> {
    Ok(Box::pin(count(ctx)).await? + 1)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<()> {
    ship(ctx, order.clone()).await?;
    ship_to_all(ctx, vec![order.id.clone()]).await?;
    charge_in_parts(ctx, (order.id.clone(), 1)).await?;
    remember(ctx).await?;
    count(ctx).detach().await?;
    charge(ctx, order).await?;
    Ok(())
}

fn main() {
    #[step]
    async fn inner_undo(number: u8) -> Result<()> {
        let _ = number;
        Ok(())
    }

    #[workflow(compensate = inner_undo(output))]
    async fn inside(ctx: &WorkflowContext) -> Result<u8> {
        let _ = ctx;
        Ok(1)
    }

    let _ = (checkout::SIGNATURE, inside::SIGNATURE);
}
