//! One of everything, in edition 2021: there `gen` is a name, and no trait of the prelude of 2024 is there.
#![deny(warnings, missing_docs, rust_2018_idioms, rust_2021_compatibility, unsafe_code)]

use forge_wf::prelude::*;
use forge_wf::Status;

/// What is bought.
#[derive(Clone, Serialize, Deserialize, Schema)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// By whom.
    pub gen: Option<String>,
}

/// Somebody said yes.
#[derive(Serialize, Deserialize, Schema, Event)]
pub struct Approved {
    /// Who.
    pub by: String,
}

/// Sends letters.
pub trait Post: Send + Sync {
    /// Sends one.
    fn send(&self, to: &str);
}

/// Gives back.
#[step]
pub async fn refund(receipt: u64, gen: Option<&str>) -> Result<()> {
    println!("{receipt} back for {gen:?}");
    Ok(())
}

/// Takes money.
#[step(compensate = refund(output, order.gen.as_deref()), retry(max = 3, backoff = "10ms..1s"), timeout = "5s")]
pub async fn charge(ctx: &StepContext, order: &Order) -> Result<u64> {
    println!("{}", ctx.idempotency_key());
    Ok(order.id)
}

/// Tells somebody.
#[step]
pub async fn tell(#[state] post: &dyn Post, to: &str, lines: &[String]) -> Result<usize> {
    post.send(to);
    Ok(lines.len())
}

/// Tells several.
#[helper]
pub async fn tell_all(ctx: &WorkflowContext, gen: &[String]) -> Result<()> {
    for to in gen {
        tell(ctx, to, gen).await?;
    }
    Ok(())
}

/// Counts down.
#[workflow]
pub async fn countdown(ctx: &WorkflowContext, gen: u64) -> Result<u64> {
    match gen {
        0 => Ok(0),
        _ => countdown(ctx, gen - 1).await.map_err(Failure::from),
    }
}

/// All of it.
#[workflow(timeout = "7d")]
pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
    let paid = ctx.saga(async |ctx| charge(ctx, &order).await).await?;
    ctx.wait_for_event::<Approved>().timeout(days(3)).await?;
    ctx.sleep(seconds(1)).await?;
    tell_all(ctx, &["ada".into()]).await?;
    Ok(paid + countdown(ctx, 3).await?)
}

/// Starts one.
pub async fn buy(client: &Client, order: Order) -> std::result::Result<Status, forge_wf::Error> {
    let run = client.start(checkout, order).key("order-17").await?;
    run.status().await
}
