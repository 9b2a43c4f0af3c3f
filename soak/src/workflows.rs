//! The mixed load: steps, sleeps, events, children, and failures that compensate.

use std::time::Duration;

use forge_wf::prelude::*;

use crate::ledger::append_step;

/// Waits for events this long; an event that a lost commit took along does not come again.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of a chain of steps, of which each begins after the one before is durable.
#[step(retry(max = 5, backoff = "50ms"))]
async fn work(ctx: &StepContext, index: u64) -> Result<u64> {
    append_step(&format!("step {} {index}", ctx.run_id()));
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(1)
}

/// A step that can be undone.
#[step(compensate = refund(index), retry(max = 5, backoff = "50ms"))]
async fn charge(ctx: &StepContext, index: u64) -> Result<u64> {
    append_step(&format!("step {} {index}", ctx.run_id()));
    Ok(1)
}

/// Undoes it.
#[step(retry(max = 5, backoff = "50ms"))]
async fn refund(ctx: &StepContext, index: u64) -> Result<()> {
    append_step(&format!("undo {} {index}", ctx.run_id()));
    Ok(())
}

/// Which process executed it.
#[step]
async fn pid() -> Result<u32> {
    Ok(std::process::id())
}

/// What a worker asks itself.
#[workflow]
pub async fn whoami(ctx: &WorkflowContext) -> Result<u32> {
    pid(ctx).await
}

/// What lets `waits` go on.
#[derive(Serialize, Deserialize, Event)]
pub struct Go {}

/// Six steps with sleeps between them.
#[workflow]
pub async fn chain(ctx: &WorkflowContext) -> Result<u64> {
    let mut done = 0;
    for index in 0..6 {
        done += work(ctx, index).await?;
        if index % 2 == 1 {
            ctx.sleep(Duration::from_millis(400)).await?;
        }
    }
    Ok(done)
}

/// Two steps with a wait for an event between them.
#[workflow]
pub async fn waits(ctx: &WorkflowContext) -> Result<u64> {
    let mut done = work(ctx, 0).await?;
    // Whether it came or not: what counts is that the run goes on once.
    let _ = ctx.wait_for_event::<Go>().timeout(PATIENCE).await;
    done += work(ctx, 1).await?;
    Ok(done)
}

/// Three children at once, with a step before and after.
#[workflow]
pub async fn parent(ctx: &WorkflowContext) -> Result<u64> {
    let mut done = work(ctx, 0).await?;
    let children = futures::future::join_all((0..3).map(|_| chain(ctx))).await;
    for child in children {
        done += child?;
    }
    done += work(ctx, 1).await?;
    Ok(done)
}

/// Three steps, and a failure that undoes them.
#[workflow]
pub async fn fails(ctx: &WorkflowContext) -> Result<u64> {
    for index in 0..3 {
        charge(ctx, index).await?;
    }
    ctx.sleep(Duration::from_millis(200)).await?;
    Err(Failure::permanent("it was to fail").with_code("as_planned"))
}

/// The kinds of runs, and what each comes to; `None`: it is compensated.
pub const KINDS: [(&str, Option<u64>); 4] =
    [("chain", Some(6)), ("waits", Some(2)), ("parent", Some(20)), ("fails", None)];
