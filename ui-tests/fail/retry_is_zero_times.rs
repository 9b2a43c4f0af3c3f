use forge_wf::prelude::*;

#[step(retry(max = 0))]
async fn charge() -> Result<()> {
    Ok(())
}

#[step(retry(max = "three", jitter = 1.5))]
async fn ship() -> Result<()> {
    Ok(())
}

#[step(retry(backoff = "1s"))]
async fn email() -> Result<()> {
    Ok(())
}

#[step(retry = 3)]
async fn print() -> Result<()> {
    Ok(())
}

fn main() {}
