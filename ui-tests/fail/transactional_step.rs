use forge_wf::prelude::*;

struct Transaction;

#[step]
async fn charge(tx: &mut Transaction, cents: u64) -> Result<u64> {
    let _ = tx;
    Ok(cents)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
