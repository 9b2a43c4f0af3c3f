use forge_wf::prelude::*;

#[step]
async fn charge() -> Result<()> {
    Ok(())
}

enum Taken {}

#[step(marker = Taken)]
async fn ship() -> Result<()> {
    Ok(())
}

fn main() {}
