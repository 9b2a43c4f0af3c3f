use forge_wf::prelude::*;

#[step]
async unsafe fn charge() -> Result<()> {
    Ok(())
}

#[step]
async extern "C" fn ship() -> Result<()> {
    Ok(())
}

fn main() {}
