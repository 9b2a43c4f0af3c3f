//! Versions of a workflow side by side, one of them with its signature pinned.
#![deny(unused)]

use forge_wf::prelude::*;

#[workflow(name = "checkout", version = "1", status = deprecated, signature = "042406a884620dab658c6af43c1dfdc9")]
async fn checkout_1(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    let _ = ctx;
    Ok(cents)
}

#[workflow(version = "2", status = active, replaces = "1")]
async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    // A new version may call the old one.
    Ok(checkout_1(ctx, cents).await?)
}

#[workflow(name = "checkout", version = "3-beta", status = staging)]
async fn checkout_3(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    let _ = ctx;
    Ok(cents)
}

fn main() {
    assert!(checkout::SIGNATURE != checkout_1::SIGNATURE && checkout::SIGNATURE != checkout_3::SIGNATURE);
}
