//! One workflow in three versions.

use forge_wf::prelude::*;

/// Version 1, which takes no new runs.
#[workflow(name = "billing", version = "1", status = deprecated)]
pub async fn billing_1(ctx: &WorkflowContext) -> Result<String> {
    let _ = ctx;
    Ok("one".into())
}

/// Version 2, which new runs are of.
#[workflow(name = "billing", version = "2")]
pub async fn billing(ctx: &WorkflowContext) -> Result<String> {
    // What is in flight may go on with what is deprecated.
    let one = billing_1(ctx).await?;
    Ok(format!("two after {one}"))
}

/// Version 3, which has to be asked for.
#[workflow(name = "billing", version = "3", status = staging)]
pub async fn billing_3(ctx: &WorkflowContext) -> Result<String> {
    let _ = ctx;
    Ok("three".into())
}
