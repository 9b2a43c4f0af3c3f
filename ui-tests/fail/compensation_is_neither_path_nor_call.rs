use forge_wf::prelude::*;

#[step]
async fn refund(cents: u64) -> Result<()> {
    let _ = cents;
    Ok(())
}

#[step(compensate = |cents| refund(cents))]
async fn by_a_closure(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = self.refund(output))]
async fn by_a_method(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = refund(output).retry(Retry::new(3)))]
async fn by_more_than_a_call(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = "refund")]
async fn by_a_literal(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = refund!(output))]
async fn by_a_macro(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate(refund))]
async fn by_a_list(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate)]
async fn by_nothing(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[step(compensate = refund(output))]
async fn by_a_name_that_is_taken(output: u64) -> Result<u64> {
    Ok(output)
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u64> {
    by_a_closure(ctx, 1).await?;
    by_a_name_that_is_taken(ctx, 1).await
}

fn main() {}
