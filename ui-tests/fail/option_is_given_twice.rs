use forge_wf::prelude::*;

#[step(timeout = "1s", timeout = "2s")]
async fn charge() -> Result<()> {
    Ok(())
}

fn main() {}
