use forge_wf::prelude::*;

#[step(retry(max = 3, if = |error| true))]
async fn charge() -> Result<()> {
    Ok(())
}

fn only_strings(_: &String) -> bool {
    true
}

#[step(retry(max = 3, if = only_strings))]
async fn ship() -> Result<()> {
    Ok(())
}

fn main() {}
