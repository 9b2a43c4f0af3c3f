use forge_wf::prelude::*;

#[step]
async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

macro_rules! email_all {
    ($ctx:expr) => {
        email($ctx, "all").await
    };
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let context = ctx;
    email(context, "one").await?;
    email_all!(ctx)
}

fn main() {}
