//! What version 1 of the workflow `holding` does, and undoes, before it waits; version 2 does not.

use forge_wf::prelude::*;

/// Holds something until its run ends badly.
#[step(compensate = release)]
pub async fn hold(n: u64) -> Result<u64> {
    Ok(n)
}

/// Lets it go.
#[step]
pub async fn release(_n: u64, _held: u64) -> Result<()> {
    Ok(())
}
