use forge_wf::prelude::*;

#[step]
async fn charge(to: &[&str], pair: (&str, u8), forever: &'static str) -> Result<()> {
    let _ = (to, pair, forever);
    Ok(())
}

#[step]
async fn ship(maybe: Option<&'static str>, changed: Option<&mut u8>) -> Result<()> {
    let _ = (maybe, changed);
    Ok(())
}

fn main() {}
