use forge_wf::prelude::*;

struct Receipt;

#[step]
async fn charge() -> Result<Receipt> {
    Ok(Receipt)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<Vec<Receipt>> {
    let _ = ctx;
    Ok(Vec::new())
}

fn main() {}
