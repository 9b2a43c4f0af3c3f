#![allow(unexpected_cfgs)]
use forge_wf::prelude::*;

#[step]
#[cfg(not(missing))]
pub async fn there() -> Result<u8> {
    Ok(1)
}

#[step]
#[cfg(missing)]
pub async fn not_there() -> Result<u8> {
    Ok(1)
}

#[derive(Serialize, Deserialize, Event)]
#[cfg(missing)]
pub struct NotThere;

#[derive(Serialize, Deserialize, Event)]
#[cfg(not(missing))]
pub struct There;

#[workflow]
pub async fn checkout(ctx: &WorkflowContext) -> Result<u8> {
    #[cfg(missing)]
    let _ = not_there(ctx).await?;
    #[cfg(not(missing))]
    let first = there(ctx).await?;
    #[cfg(missing)]
    {
        first += not_there(ctx).await?;
    }
    #[cfg(missing)]
    ctx.wait_for_event::<NotThere>().await?;
    #[cfg(not(missing))]
    ctx.wait_for_event::<There>().await?;
    let second = there(ctx).await?;
    Ok(match first {
        #[cfg(missing)]
        0 => not_there(ctx).await?,
        _ => second,
    })
}

fn main() {}
