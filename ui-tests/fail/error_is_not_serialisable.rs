use forge_wf::prelude::*;

#[derive(Debug, thiserror::Error)]
#[error("declined")]
struct Declined;

#[step]
async fn charge() -> Result<(), Declined> {
    Err(Declined)
}

fn main() {}
