use forge_wf::prelude::*;

#[step]
async fn charge(what: impl Serialize, times: &mut u32) -> Result<()> {
    let _ = (what, times);
    Ok(())
}

fn main() {}
