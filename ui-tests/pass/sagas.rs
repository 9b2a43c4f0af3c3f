//! A part of a body is undone as a whole, in any form of closure, with any type of error, and the workflow stays `Send`.
use forge_wf::prelude::*;
use futures::future::try_join_all;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    id: String,
    items: Vec<String>,
}

enum Refused {
    TooMany(u64),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[step]
async fn release(item: String) -> Result<()> {
    let _ = item;
    Ok(())
}

#[step(compensate = release(output))]
async fn reserve(item: &str) -> Result<String> {
    Ok(item.to_owned())
}

#[step]
async fn tell(what: String) -> Result<()> {
    let _ = what;
    Ok(())
}

#[helper]
async fn reserve_all(ctx: &WorkflowContext, items: &[String]) -> Result<Vec<String>> {
    ctx.saga(async |ctx| try_join_all(items.iter().map(|item| reserve(ctx, item))).await).await
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
    let mut count = 0;
    let borrowed = ctx
        .saga(async |ctx| {
            for item in &order.items {
                reserve(ctx, item).await?;
                count += 1;
            }
            if count > 3 { Err(Refused::TooMany(count)) } else { Ok(order.id.as_str()) }
        })
        .await;
    match borrowed {
        Ok(id) => tell(ctx, id.to_owned()).await?,
        Err(Refused::TooMany(count)) => tell(ctx, format!("{count} are too many")).await?,
        Err(Refused::Failed(failure)) => return Err(failure),
    }

    let items = order.items.clone();
    let moved: Result<String> = ctx.saga(async move |ctx| reserve(ctx, &items[0]).await).await;
    let renamed = ctx
        .saga(async |saga| {
            reserve(saga, "renamed").await?;
            saga.saga(async |inner| tell(inner, String::new()).await).await
        })
        .await;
    let (left, right) = tokio::join!(
        ctx.saga(async |ctx| reserve_all(ctx, &order.items).await),
        ctx.saga(async |_| tell(ctx, order.id.clone()).await),
    );
    let _ = (moved?, renamed?, left?, right?);
    Ok(count)
}

fn main() {
    assert_ne!(checkout::SIGNATURE, 0);
}
