use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Hold(String);

#[step]
async fn by_the_wrong_output(id: i64) -> Result<()> {
    let _ = id;
    Ok(())
}

#[step(compensate = by_the_wrong_output, timeout = "1s")]
async fn reserve(sku: &str, qty: u32) -> Result<Hold> {
    Ok(Hold(format!("{sku} {qty}")))
}

#[step]
async fn by_too_few_inputs(sku: &str, hold: Hold) -> Result<()> {
    let _ = (sku, hold);
    Ok(())
}

#[step(compensate = by_too_few_inputs)]
async fn reserve_two(sku: &str, qty: u32) -> Result<Hold> {
    Ok(Hold(format!("{sku} {qty}")))
}

#[step]
async fn without_the_output(sku: &str, qty: u32) -> Result<()> {
    let _ = (sku, qty);
    Ok(())
}

#[step(compensate = without_the_output)]
async fn reserve_three(sku: &str, qty: u32) -> Result<Hold> {
    Ok(Hold(format!("{sku} {qty}")))
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    reserve(ctx, "a", 1).await?;
    reserve_two(ctx, "a", 1).await?;
    reserve_three(ctx, "a", 1).await?;
    Ok(())
}

fn main() {}
