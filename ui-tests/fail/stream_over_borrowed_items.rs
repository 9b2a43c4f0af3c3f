//! rustc proves `Send` of such a stream for one lifetime only, and says so at the attribute, far from the call.
//! The remedy is to stream owned items: `stream::iter(to).map(..)`. The docs of `StepCall` say so.
use forge_wf::prelude::*;
use futures::stream::{self, StreamExt};

#[step]
async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, to: Vec<String>) -> Result<()> {
    let mut sent = stream::iter(&to).map(|to| email(ctx, to)).buffer_unordered(8);
    while let Some(sent) = sent.next().await {
        sent?;
    }
    Ok(())
}

fn main() {}
