use forge_wf::prelude::*;

#[workflow(version = "1", status = depricated)]
async fn with_another_word(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(status = "staging")]
async fn with_a_text(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(status)]
async fn without_a_word(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(signature = "6b1e")]
async fn with_half_a_signature(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

#[workflow(signature = 7)]
async fn with_a_number(ctx: &WorkflowContext) -> Result<()> {
    let _ = ctx;
    Ok(())
}

fn main() {}
