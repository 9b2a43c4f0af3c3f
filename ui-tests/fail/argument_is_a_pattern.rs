use forge_wf::prelude::*;

#[step]
async fn charge((a, b): (u8, u8), _: u8) -> Result<u8> {
    Ok(a + b)
}

fn main() {}
