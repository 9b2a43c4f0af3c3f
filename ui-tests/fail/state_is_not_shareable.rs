use forge_wf::prelude::*;
use std::rc::Rc;

struct NotClone;

#[step]
async fn charge(#[state] counter: &Rc<u8>) -> Result<()> {
    let _ = counter;
    Ok(())
}

#[step]
async fn ship(#[state] owned: NotClone) -> Result<()> {
    let _ = owned;
    Ok(())
}

fn main() {}
