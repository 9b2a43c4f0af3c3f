//! What every version of the workflow `rolling` has in common, and the process that serves it.

use std::time::Duration;

use forge_wf::prelude::*;

/// Lets a run go on.
#[derive(Serialize, Deserialize, Event)]
pub struct Go;

/// Done before the wait and after it.
#[step]
pub async fn note(version: &str, when: &str) -> Result<String> {
    Ok(format!("{version} {when}"))
}

/// Serves until a signal comes.
#[tokio::main]
pub async fn serve() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).expect("the URL of a database");
    let rt = Runtime::builder()
        .database(&url)
        .lease(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(500))
        .poll_interval(Duration::from_millis(50))
        .park_for(Duration::ZERO)
        .unserved_grace(Duration::from_millis(500))
        .build()
        .await?;
    println!("ready");
    Ok(rt.run_until_signal().await?)
}
