use forge_wf::prelude::*;

#[workflow]
async fn checkout(order: String) -> Result<String> {
    Ok(order)
}

#[workflow]
async fn nightly() -> Result<()> {
    Ok(())
}

#[helper]
async fn help(order: &str) -> Result<()> {
    let _ = order;
    Ok(())
}

fn main() {}
