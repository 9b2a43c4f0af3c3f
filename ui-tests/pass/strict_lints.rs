//! Expansions hold under the strictest lints a crate can set.
#![forbid(unsafe_code)]
#![deny(clippy::all, missing_docs, warnings, unused, unreachable_pub, non_camel_case_types)]

use forge_wf::{Event, Result, StepContext, WorkflowContext, helper, step, workflow};

/// Refunds.
#[step]
pub(crate) async fn refund(receipt: Option<&str>, cents: u64) -> Result<()> {
    let _ = (receipt, cents);
    Ok(())
}

/// Charges again.
#[step(compensate = charge)]
pub(crate) async fn charge_again(cents: u64) -> Result<u64> {
    Ok(cents)
}

/// Charges.
#[step(compensate = refund(Some("r"), output), retry(max = 3), timeout = "5s")]
pub(crate) async fn charge(ctx: &StepContext, cents: u64) -> Result<u64> {
    let _ = ctx.attempt();
    Ok(cents)
}

#[step]
async fn ping() -> Result<()> {
    Ok(())
}

#[step(compensate = many("", &[], a, b, *c, d[0], note.unwrap_or_default().len() as u8, output, 1))]
async fn one(a: u8, b: u8, c: &u8, d: &[u8], note: Option<&str>) -> Result<u8> {
    let _ = note;
    Ok(a + b + c + d[0])
}

#[step]
#[allow(clippy::too_many_arguments)]
async fn many(text: &str, sizes: &[u8], a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) -> Result<u8> {
    let _ = (text, sizes);
    Ok(a + b + c + d + e + f + g)
}

/// Approved.
#[derive(serde::Serialize, serde::Deserialize, Event)]
pub(crate) struct Approved {
    by: u64,
}

/// Waits.
#[workflow(events("paid": (u64, u64), "sent": u64))]
pub(crate) async fn wait(ctx: &WorkflowContext) -> Result<u64> {
    let approved = ctx.wait_for_event::<Approved>().await?;
    let (whole, part) = ctx.wait_for_event_named("paid").await?;
    Ok(approved.by + whole + part + ctx.wait_for_event_named::<u64>("sent").await?)
}

/// Helps.
#[helper]
pub(crate) async fn help(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    ping(ctx).await?;
    charge(ctx, cents).await
}

/// Pays.
#[workflow(version = "2")]
pub(crate) async fn pay(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    many(ctx, "x", &[1], 1, 2, 3, 4, 5, 6, 7).await?;
    one(ctx, 1, 2, &3, &[4], None).await?;
    charge_again(ctx, cents).await?;
    wait(ctx).await?;
    help(ctx, cents).await
}

/// Does nothing.
#[workflow]
async fn idle(_ctx: &WorkflowContext) -> Result<()> {
    Ok(())
}

fn main() {
    assert_ne!(pay::SIGNATURE, idle::SIGNATURE);
}
