//! What becomes of a run whose records PostgreSQL refuses with an error of somebody else's making, and of its neighbours.

use std::sync::Arc;
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunHandle, Status};
use forge_wf_tests::waiting::parent;
use forge_wf_tests::workflows::Job;
use forge_wf_tests::{Database, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::quick;

/// A word that depends on the number, so that no input holds it.
#[step]
async fn word_of(n: u64) -> Result<String> {
    Ok(if n == 7 { ["poi", "son"].concat() } else { format!("word {n}") })
}

/// A harmless word, then one that may be refused, then the end.
#[workflow]
async fn words(ctx: &WorkflowContext, n: u64) -> Result<String> {
    let first = word_of(ctx, 1).await?;
    let second = word_of(ctx, n).await?;
    Ok(format!("{first}, {second}"))
}

/// Takes its input as it is.
#[workflow]
async fn echo(ctx: &WorkflowContext, text: String) -> Result<String> {
    word_of(ctx, 1).await?;
    Ok(text)
}

async fn exec(url: &str, sql: impl Into<String>) {
    let mut connection = PgConnection::connect(url).await.expect("the database of this test");
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.expect("a good statement");
}

/// Has the server refuse entries that hold a word, with an error of this state.
async fn refuse(database: &Database, state: &str) {
    exec(
        database.url(),
        format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF concat(NEW.args, NEW.output) LIKE '%poison%' THEN
                     RAISE 'the auditors forbid this' USING ERRCODE = '{state}';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT OR UPDATE ON forge_wf.journal
                 FOR EACH ROW EXECUTE FUNCTION refuse()"
        ),
    )
    .await;
}

async fn blocked(run: &RunHandle<String>) -> String {
    match run.result().await {
        Err(Error::RunBlocked { status: Status::BlockedRefused, message, .. }) => message,
        other => panic!("{other:?} is not a refusal"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_trigger_refuses_is_blocked_and_its_neighbours_go_on() {
    let Some(database) = Database::postgres().await else { return };
    let rt = quick(&database).build().await.unwrap();
    // A state of plpgsql, one of no class anybody knows, and one that a policy on rows gives.
    for state in ["P0001", "ZZ001", "42501"] {
        refuse(&database, state).await;
        let mut runs = Vec::new();
        for n in 0..20 {
            runs.push(rt.start(words, n).await.unwrap());
        }
        for (n, run) in runs.iter().enumerate().filter(|(n, _)| *n != 7) {
            assert_eq!(run.result().await.unwrap(), format!("word 1, word {n}"), "{state}");
        }
        let message = blocked(&runs[7]).await;
        assert!(message.contains("the auditors forbid this"), "{message}");
        let steps = rt.client().show(runs[7].id()).await.unwrap().entries;
        let steps: Vec<_> =
            steps.iter().filter(|entry| entry.call.starts_with("step:")).map(|entry| &*entry.call).collect();
        assert_eq!(steps, ["step:word_of#0"], "what comes before is kept");
        // An operator removes the cause, and the run is finished.
        exec(database.url(), "DROP TRIGGER refuse ON forge_wf.journal").await;
        rt.client().retry(runs[7].id(), "it is allowed now").await.unwrap();
        let result = eventually("the end", async || runs[7].result().await.ok()).await;
        assert_eq!(result, "word 1, poison");
    }
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_a_trigger_refuses_is_an_error_with_the_servers_words() {
    let Some(database) = Database::postgres().await else { return };
    let rt = quick(&database).build().await.unwrap();
    refuse(&database, "P0001").await;
    let keyed = rt.start(echo, "poison".into()).key("k").await.unwrap_err();
    let unkeyed = rt.start(echo, "poison".into()).await.unwrap_err();
    for told in [keyed, unkeyed] {
        assert!(told.to_string().contains("the auditors forbid this"), "{told}");
    }
    assert_eq!(rt.start(echo, "fine".into()).await.unwrap().result().await.unwrap(), "fine");
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_everybody_blames_no_run() {
    let Some(database) = Database::postgres().await else { return };
    let role = database.url().rsplit_once('/').unwrap().1;
    exec(database.url(), format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {role} TO {role}")).await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let rt = Arc::new(quick(&database).database(url).lease(Duration::from_secs(60)).build().await.unwrap());
    // The owner may grant itself what it likes; so it must not be the owner.
    exec(
        database.url(),
        format!(
            "ALTER TABLE forge_wf.journal OWNER TO postgres; ALTER TABLE forge_wf.inbox OWNER TO postgres;
             GRANT SELECT, INSERT, UPDATE, DELETE ON forge_wf.journal, forge_wf.inbox TO {role}"
        ),
    )
    .await;
    assert_eq!(rt.start(words, 1).await.unwrap().result().await.unwrap(), "word 1, word 1");
    // Also of a table that the smallest batch does not touch.
    for table in ["journal", "inbox"] {
        let before = refused(&database).await;
        exec(database.url(), format!("REVOKE INSERT ON forge_wf.{table} FROM {role}")).await;
        let starts: Vec<_> = (0..8)
            .map(|n| {
                let rt = rt.clone();
                tokio::spawn(async move { rt.start(parent, Job::of(n)).await?.result().await })
            })
            .collect();
        // Often enough for whoever would blame a run.
        eventually("refusals", async || (refused(&database).await >= before + 20).then_some(())).await;
        exec(database.url(), format!("GRANT INSERT ON forge_wf.{table} TO {role}")).await;
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
    rt.shutdown().await;
}

/// How many statements the server has refused in this database.
async fn refused(database: &Database) -> i64 {
    let count = "SELECT xact_rollback::text FROM pg_stat_database WHERE datname = current_database()";
    database.texts("", count).await[0].parse().expect("a number")
}
