use forge_wf::prelude::*;

#[step]
async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

async fn notify_all(ctx: &WorkflowContext, to: &[String]) -> Result<()> {
    for to in to {
        email(ctx, to).await?;
    }
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, to: Vec<String>) -> Result<()> {
    notify_all(ctx, &to).await
}

fn main() {}
