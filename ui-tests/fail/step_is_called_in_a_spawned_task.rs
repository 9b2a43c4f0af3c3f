use forge_wf::prelude::*;

#[step]
async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let sent = tokio::spawn(email(ctx, "all"));
    sent.await.map_err(|error| Failure::new(error.to_string()))?
}

fn main() {}
