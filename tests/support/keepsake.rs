//! A workflow whose journals are kept as fixtures: every build has to replay what earlier builds wrote.
//!
//! Nothing here may change, names and types of events included. A new kind of entry gets a new workflow beside it, and a new fixture.

use std::time::Duration;

use forge_wf::prelude::*;
use uuid::Uuid;

use super::waiting::Approved;

/// What a keepsake ends with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What was taken, in order.
    pub things: Vec<String>,
    /// Drawn from the run's seed.
    pub id: Uuid,
    /// What an event said.
    pub by: String,
}

/// Takes a thing.
#[step(compensate = put_back)]
pub async fn take(thing: &str) -> Result<String> {
    Ok(format!("took {thing}"))
}

/// Puts it back.
#[step]
pub async fn put_back(thing: &str, taken: &str) -> Result<()> {
    assert_eq!(taken, format!("took {thing}"));
    Ok(())
}

/// Fails for good.
#[step]
pub async fn refuse() -> Result<()> {
    Err(Failure::permanent("it is refused").with_code("refused"))
}

/// A child that is undone, too.
#[workflow(compensate = put_back(&n.to_string(), &output))]
pub async fn kept_child(ctx: &WorkflowContext, n: u64) -> Result<String> {
    take(ctx, &n.to_string()).await
}

/// Does one of everything; fails if the number is odd, else waits for an event.
#[workflow]
pub async fn keepsake(ctx: &WorkflowContext, n: u64) -> Result<Kept> {
    let mut things = vec![take(ctx, "a").await?];
    let id = ctx.uuid();
    ctx.sleep(Duration::from_millis(1)).await?;
    things.push(kept_child(ctx, n).await?);
    let lost = ctx
        .saga(async |ctx| {
            take(ctx, "b").await?;
            refuse(ctx).await
        })
        .await;
    things.push(lost.unwrap_err().code().unwrap_or_default().to_owned());
    let (c, d) = tokio::join!(take(ctx, "c"), take(ctx, "d"));
    things.extend([c?, d?]);
    ctx.save_state("things", &things.len())?;
    if n % 2 == 1 {
        refuse(ctx).await?;
    }
    let by = ctx.wait_for_event::<Approved>().await?.by;
    Ok(Kept { things, id, by })
}
