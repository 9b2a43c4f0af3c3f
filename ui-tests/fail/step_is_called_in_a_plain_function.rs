use forge_wf::prelude::*;

#[step]
async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

async fn plain(ctx: &WorkflowContext) -> Result<()> {
    email(ctx, "all").await
}

fn main() {
    let _ = plain;
}
