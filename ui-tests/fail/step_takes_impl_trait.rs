use forge_wf::prelude::*;

#[step]
async fn charge(what: impl Serialize, times: &mut u32) -> Result<()> {
    let _ = (what, times);
    Ok(())
}

#[step]
async fn ship(what: Vec<impl Serialize>) -> Result<impl Serialize> {
    let _ = what;
    Ok(())
}

fn main() {}
