use forge_wf::prelude::*;
use std::rc::Rc;

#[step]
async fn charge(cents: u64) -> Result<u64> {
    let shared = Rc::new(cents);
    tokio::task::yield_now().await;
    Ok(*shared)
}

fn main() {}
