use forge_wf::prelude::*;

struct Declined;

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<(), Declined> {
    let _ = ctx;
    Err(Declined)
}

fn main() {}
