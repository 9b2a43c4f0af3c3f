//! Workflows whose children are undone as well as their steps.

use std::time::Duration;

use forge_wf::ChildError;
use forge_wf::prelude::*;

use super::undoing::{Trip, TripEnd, book, note, overbooked};
use super::waiting::{Approved, waiting_child};

/// What a child sends, and where it logs that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    /// Where effects are logged, one line each.
    pub log: String,
    /// Its number.
    pub n: u64,
}

/// Hands a parcel over.
#[step]
pub async fn hand_over(parcel: &Parcel) -> Result<()> {
    note(&parcel.log, &format!("send {}", parcel.n));
    Ok(())
}

/// Calls a parcel back.
#[step]
pub async fn recall(parcel: Parcel) -> Result<()> {
    note(&parcel.log, &format!("recall {}", parcel.n));
    Ok(())
}

/// Calls a parcel back by its label.
#[step]
pub async fn recall_as(parcel: &Parcel, label: String) -> Result<()> {
    note(&parcel.log, &format!("recall {} as {label}", parcel.n));
    Ok(())
}

/// Is undone by what it returns.
#[workflow(compensate = recall)]
pub async fn dispatch(ctx: &WorkflowContext, parcel: Parcel) -> Result<Parcel> {
    hand_over(ctx, &parcel).await?;
    Ok(parcel)
}

/// Is undone by what it was given and by what it returns.
#[workflow(compensate = recall_as)]
pub async fn dispatch_labelled(ctx: &WorkflowContext, parcel: Parcel) -> Result<String> {
    hand_over(ctx, &parcel).await?;
    Ok(format!("label {}", parcel.n))
}

/// Is undone by a call.
#[workflow(compensate = recall_as(&parcel, output.to_uppercase()))]
pub async fn dispatch_loudly(ctx: &WorkflowContext, parcel: Parcel) -> Result<String> {
    hand_over(ctx, &parcel).await?;
    Ok(format!("label {}", parcel.n))
}

fn unknowable(label: &str) -> String {
    panic!("{label} is not readable")
}

/// Is undone by nobody knows what.
#[workflow(compensate = recall_as(&parcel, unknowable(&output)))]
pub async fn dispatch_unreadably(ctx: &WorkflowContext, parcel: Parcel) -> Result<String> {
    dispatch_labelled(ctx, parcel).await.map_err(Failure::from)
}

/// Is done once it is told to.
#[workflow(compensate = recall)]
pub async fn dispatch_when_told(ctx: &WorkflowContext, parcel: Parcel) -> Result<Parcel> {
    ctx.wait_for_event::<Approved>().await?;
    hand_over(ctx, &parcel).await?;
    Ok(parcel)
}

fn parcel(plan: &Trip, n: u64) -> Parcel {
    Parcel { log: plan.log.clone(), n }
}

/// Books and sends by turns, and then fails if it is told to.
#[workflow]
pub async fn deliver(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    book(ctx, &plan.log, 1).await?;
    dispatch(ctx, parcel(&plan, 2)).await?;
    book(ctx, &plan.log, 3).await?;
    dispatch_labelled(ctx, parcel(&plan, 4)).await?;
    dispatch_loudly(ctx, parcel(&plan, 5)).await?;
    if plan.end == TripEnd::Fails {
        overbooked(ctx, &plan.log).await?;
    }
    Ok(())
}

/// Sends in a saga that fails, and goes on.
#[workflow]
pub async fn deliver_in_part(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    dispatch(ctx, parcel(&plan, 1)).await?;
    let lost = ctx
        .saga(async |ctx| {
            dispatch(ctx, parcel(&plan, 2)).await?;
            book(ctx, &plan.log, 3).await?;
            dispatch_loudly(ctx, parcel(&plan, 4)).await?;
            overbooked(ctx, &plan.log).await
        })
        .await;
    assert!(lost.is_err());
    if plan.end == TripEnd::Fails {
        overbooked(ctx, &plan.log).await?;
    }
    Ok(())
}

/// Sends what cannot be called back by itself.
#[workflow]
pub async fn deliver_unreadably(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    dispatch(ctx, parcel(&plan, 1)).await?;
    dispatch_unreadably(ctx, parcel(&plan, 2)).await?;
    overbooked(ctx, &plan.log).await?;
    Ok(())
}

/// Waits so many milliseconds for a child that is done when it is told to, and not longer.
#[workflow]
pub async fn deliver_in_time(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    book(ctx, &plan.log, 1).await?;
    let late: std::result::Result<_, ChildError> =
        dispatch_when_told(ctx, parcel(&plan, 2)).timeout(Duration::from_millis(plan.legs)).await;
    assert!(late.is_err());
    if plan.end == TripEnd::Fails {
        overbooked(ctx, &plan.log).await?;
    }
    Ok(())
}

/// Goes on anew with a child it has dropped.
#[workflow]
pub async fn deliver_anew(ctx: &WorkflowContext, plan: Trip) -> Result<String> {
    let _ = dispatch_when_told(ctx, parcel(&plan, 1)).timeout(Duration::from_millis(1)).await;
    let refused: Result<String> = ctx.continue_as_new(plan).await;
    Ok(refused.unwrap_err().code().unwrap_or_default().to_owned())
}

/// Has two children, each of which has two, and so on; those at the bottom wait. At each place above, a detached one waits too.
#[workflow]
pub async fn tree(ctx: &WorkflowContext, depth: u64) -> Result<()> {
    if depth == 0 {
        ctx.wait_for_event::<Approved>().await?;
        return Ok(());
    }
    waiting_child(ctx).detach().await?;
    let (left, right) = tokio::join!(tree(ctx, depth - 1), tree(ctx, depth - 1));
    Ok(left.and(right)?)
}
