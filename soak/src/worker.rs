//! A worker process that notes whenever it has executed something itself.

use std::sync::Arc;
use std::time::Duration;

use forge_wf::prelude::*;
use tokio::sync::Semaphore;

use crate::ledger;
use crate::workflows::whoami;

/// The lease of the workers; scripts/soak says the same to the audit.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often a worker asks itself.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Questions without an answer at the most.
const PROBES_OPEN: usize = 40;

/// Serves under this name until a signal.
pub async fn serve(url: &str, name: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let rt = Runtime::builder()
        .database(url)
        .lease(LEASE)
        .heartbeat(LEASE / 4)
        .poll_interval(Duration::from_millis(250))
        .shutdown_grace(Duration::from_secs(2))
        // The faults are to blame for what happens to the workers, and no run.
        .takeovers_max(1_000)
        .build()
        .await?;
    println!("ready");
    let rt = Arc::new(rt);
    let probing = tokio::spawn(probe(rt.clone(), name.to_owned()));
    tokio::signal::ctrl_c().await?;
    probing.abort();
    rt.shutdown().await;
    Ok(())
}

/// Starts a small run again and again, and notes each that this very process has executed.
async fn probe(rt: Arc<Runtime>, name: String) {
    let serves = Arc::new(ledger::open(&format!("serves.{name}")));
    let open = Arc::new(Semaphore::new(PROBES_OPEN));
    let mut every = tokio::time::interval(PROBE_EVERY);
    loop {
        every.tick().await;
        let Ok(permit) = open.clone().try_acquire_owned() else { continue };
        let (rt, serves) = (rt.clone(), serves.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let asked =
                tokio::time::timeout(Duration::from_secs(10), async { rt.start(whoami, ()).await?.result().await });
            if let Ok(Ok(pid)) = asked.await
                && pid == std::process::id()
            {
                ledger::append(&serves, "served");
            }
        });
    }
}
