//! Journals that earlier builds wrote are replayed by this one, and runs they left go on.
//!
//! `tests/fixtures/*.sql` are SQLite files as text, each named after the newest migration it has. One is added with each migration that
//! changes what runs look like: `worker sqlite:FILE keepsakes` makes the runs, and any tool that dumps SQLite writes them down.

use forge_wf::testing::replays_equal;
use forge_wf::{Error, RunId, Status};
use forge_wf_tests::keepsake::Kept;
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{Database, eventually};
use sqlx::Connection;

use crate::quick;

/// Opens the database that this text dumps, with this build, and looks at its runs.
async fn replays(dump: &'static str) {
    let database = Database::sqlite();
    let path = database.url().trim_start_matches("sqlite:").to_owned();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(dump).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let rt = quick(&database).build().await.unwrap();
    let client = rt.client();
    let ids =
        database.texts("SELECT lower(hex(id)) FROM forge_wf_runs WHERE workflow = 'keepsake' ORDER BY id", "").await;
    let runs: Vec<RunId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let [waiting, failed, completed] = runs[..] else { panic!("three runs, and not {runs:?}") };
    let preflight = forge_wf::preflight(&client).await.unwrap();
    assert!(preflight.fits(), "{preflight}");
    replays_equal(&client, completed).await.unwrap();
    replays_equal(&client, failed).await.unwrap();
    let failed = rt.run::<Kept>(failed).await.unwrap();
    let error = failed.result().await.unwrap_err();
    let Error::RunFailed { status: Status::Compensated, failure, .. } = error else { panic!("{error}") };
    assert_eq!(failure.code(), Some("refused"));
    let details = failed.show().await.unwrap();
    assert_eq!(details.entries.iter().filter(|entry| entry.undo == Some("done")).count(), 5, "{details:?}");

    let waiting = rt.run::<Kept>(waiting).await.unwrap();
    eventually("the run waiting", async || (waiting.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.send_event(&waiting, Approved { by: "a later build".into() }).await.unwrap();
    let (waited, kept) =
        (waiting.result().await.unwrap(), rt.run::<Kept>(completed).await.unwrap().result().await.unwrap());
    assert_eq!((waited.by.as_str(), kept.by.as_str()), ("a later build", "the same build"));
    assert_eq!(waited.things[2..], kept.things[2..]);
    replays_equal(&client, waiting.id()).await.unwrap();
    rt.shutdown().await;
}

#[tokio::test]
async fn runs_of_migration_5_go_on() {
    replays(include_str!("fixtures/migration_5.sql")).await;
}
