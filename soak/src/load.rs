//! Starts runs of every kind until it is told to stop, and notes each start that was answered.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forge_wf::Error;
use forge_wf::prelude::*;
use tokio::task::JoinSet;

use crate::ledger;
use crate::workflows::{Go, KINDS};

/// How often a run is started.
const START_EVERY: Duration = Duration::from_millis(150);
/// How long a caller goes on with a start or an event that is not answered.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(300);

/// Starts runs until there is a file `stop` in the folder.
pub async fn start_runs(url: &str, folder: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(url).await?;
    let starts = Arc::new(ledger::open("starts"));
    let mut callers = JoinSet::new();
    let mut every = tokio::time::interval(START_EVERY);
    for number in 0_usize.. {
        if folder.join("stop").exists() {
            break;
        }
        every.tick().await;
        let (client, starts) = (client.clone(), starts.clone());
        callers.spawn(async move {
            let (kind, _) = KINDS[number % KINDS.len()];
            let begun = ledger::now();
            let start = async {
                loop {
                    let start = client.start_by_name(kind, serde_json::Value::Null).key(format!("k{number}"));
                    match start.await {
                        Ok(run) => return run,
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            };
            let Ok(run) = tokio::time::timeout(PATIENCE, start).await else {
                return ledger::append(&starts, &format!("unanswered {kind} k{number} {begun}"));
            };
            ledger::append(&starts, &format!("started {kind} {} {begun}", run.id()));
            if kind == "waits" {
                tokio::time::sleep(Duration::from_millis(200 + 37 * (number as u64 % 50))).await;
                let send = async {
                    while let Err(error) = client.send_event(run.id(), Go {}).id("go").await {
                        if matches!(error, Error::RunEnded { .. } | Error::NoSuchRun { .. }) {
                            return;
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                };
                let _ = tokio::time::timeout(PATIENCE, send).await;
            }
        });
    }
    while callers.join_next().await.is_some() {}
    client.close().await;
    Ok(())
}
