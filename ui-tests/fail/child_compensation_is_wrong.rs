use forge_wf::prelude::*;

#[step]
async fn recall(parcel: u64) -> Result<()> {
    let _ = parcel;
    Ok(())
}

#[workflow(compensate = recall)]
async fn by_the_wrong_output(ctx: &WorkflowContext, to: String) -> Result<String> {
    let _ = ctx;
    Ok(to)
}

#[workflow(compensate = recall(output, to))]
async fn by_too_much(ctx: &WorkflowContext, to: String) -> Result<u64> {
    let _ = ctx;
    Ok(to.len() as u64)
}

async fn plain(parcel: u64) -> Result<()> {
    let _ = parcel;
    Ok(())
}

#[workflow(compensate = plain)]
async fn by_a_plain_function(ctx: &WorkflowContext) -> Result<u64> {
    let _ = ctx;
    Ok(1)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    by_the_wrong_output(ctx, String::new()).await?;
    by_too_much(ctx, String::new()).await?;
    by_a_plain_function(ctx).await?;
    Ok(())
}

fn main() {}
