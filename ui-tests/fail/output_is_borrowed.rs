use forge_wf::prelude::*;
use std::borrow::Cow;

#[step]
async fn charge(to: &str) -> Result<&str> {
    Ok(to)
}

#[step]
async fn ship(to: &str) -> Result<Cow<'_, str>> {
    Ok(to.into())
}

fn main() {}
