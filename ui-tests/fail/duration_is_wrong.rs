use forge_wf::prelude::*;

#[step(timeout = "30 parsecs", retry(max = 2, backoff = "30s..200ms"))]
async fn charge() -> Result<()> {
    Ok(())
}

#[step(timeout = "0s", retry(max = 2, backoff = "1s..ages"))]
async fn ship() -> Result<()> {
    Ok(())
}

#[step(timeout = 30, retry(max = 2, backoff = "200 years"))]
async fn email() -> Result<()> {
    Ok(())
}

fn main() {}
