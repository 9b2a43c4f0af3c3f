use forge_wf::prelude::*;

#[step]
async fn charge(to: &[&str], pair: (&str, u8), forever: &'static str) -> Result<()> {
    let _ = (to, pair, forever);
    Ok(())
}

fn main() {}
