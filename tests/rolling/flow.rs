//! What every version of the workflow `rolling` has in common, and the process that serves it, or that only looks whether it could.

use std::process::ExitCode;
use std::time::Duration;

use forge_wf::prelude::*;

/// Lets a run go on.
#[derive(Serialize, Deserialize, Event)]
pub struct Go;

/// What a step returns. A build for which `FORGE_WF_TEST_UNREADABLE` is set cannot read it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Noted(String);

impl TryFrom<String> for Noted {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, &'static str> {
        if std::env::var_os("FORGE_WF_TEST_UNREADABLE").is_some() { Err("no such text") } else { Ok(Self(text)) }
    }
}

/// Done before the wait and after it.
#[step]
pub async fn note(version: &str, when: &str) -> Result<Noted> {
    Ok(Noted(format!("{version} {when}")))
}

/// Serves until a signal comes; as `PROGRAM URL preflight` it says whether it could, and as `PROGRAM URL move VERSION` it moves all
/// runs that fit to that version.
#[tokio::main]
pub async fn serve() -> std::result::Result<ExitCode, Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).expect("the URL of a database");
    if std::env::args().nth(2).as_deref() == Some("preflight") {
        let client = Client::connect(&url).await?;
        let found = forge_wf::preflight(&client).await?;
        print!("{found}");
        client.close().await;
        return Ok(found.exit_code());
    }
    if std::env::args().nth(2).as_deref() == Some("move") {
        let version = std::env::args().nth(3).expect("a version");
        let client = Client::connect(&url).await?;
        let all = forge_wf::Filter::new().workflow("rolling");
        let found =
            client.move_runs(all, version, 1_000, "the old one is wrong").by("ada").patience(Duration::ZERO).await?;
        println!("{}", serde_json::to_string(&found)?);
        client.close().await;
        return Ok(ExitCode::SUCCESS);
    }
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
    rt.run_until_signal().await?;
    Ok(ExitCode::SUCCESS)
}
