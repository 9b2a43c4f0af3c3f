//! What becomes of a run whose records PostgreSQL refuses with an error of somebody else's making, and of its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Error, RunHandle, Status};
use forge_wf_tests::waiting::{Approved, approvals, parent};
use forge_wf_tests::workflows::Job;
use forge_wf_tests::{Database, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};

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

/// Tests that open and close the counter take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

static OPEN: AtomicBool = AtomicBool::new(false);

/// What a saga undoes.
#[step(compensate = reopen_the_seat())]
async fn sell_the_seat() -> Result<()> {
    Ok(())
}

/// Fails with a word that may be refused, until the counter is open.
#[step]
async fn reopen_the_seat() -> Result<()> {
    match OPEN.load(Ordering::SeqCst) {
        true => Ok(()),
        false => Err(Failure::permanent(["the counter sells poi", "son"].concat())),
    }
}

/// Turns back.
#[step]
async fn sell_no_more() -> Result<()> {
    Err(Failure::permanent("enough"))
}

/// A saga that is undone, and then goes on.
#[workflow]
async fn sells_in_a_saga(ctx: &WorkflowContext) -> Result<String> {
    let undone = ctx
        .saga(async |ctx| {
            sell_the_seat(ctx).await?;
            sell_no_more(ctx).await
        })
        .await;
    Ok(undone.unwrap_err().to_string())
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
                 IF concat(NEW.args, NEW.output, NEW.failure) LIKE '%poison%' THEN
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

/// Starts 20 runs, numbered from 0. Run 7 writes the word that the trigger of `refuse` looks for.
async fn start_twenty(rt: &Runtime) -> Vec<RunHandle<String>> {
    let mut runs = Vec::new();
    for n in 0..20 {
        runs.push(rt.start(words, n).await.unwrap());
    }
    runs
}

/// Waits for the results of all runs but run 7.
async fn neighbours_end(runs: &[RunHandle<String>], what: &str) {
    for (n, run) in runs.iter().enumerate().filter(|(n, _)| *n != 7) {
        let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("nothing keeps it");
        assert_eq!(result.unwrap(), format!("word 1, word {n}"), "{what}");
    }
}

async fn blocked(run: &RunHandle<String>) -> String {
    match run.result().await {
        Err(Error::RunBlocked { status: Status::BlockedRefused, message, .. }) => message,
        other => panic!("{other:?} is not a refusal"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_that_a_trigger_refuses_is_blocked_and_its_neighbours_go_on() {
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    // A state of plpgsql, one of no class anybody knows, and one that a policy on rows gives.
    for state in ["P0001", "ZZ001", "42501"] {
        refuse(&database, state).await;
        let runs = start_twenty(&rt).await;
        neighbours_end(&runs, state).await;
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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_start_that_a_trigger_refuses_is_an_error_with_the_servers_words() {
    let database = Database::postgres().await;
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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_server_that_refuses_everybody_blames_no_run() {
    let database = Database::postgres().await;
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

/// The record that an undo gave up and the change of what it was to undo are one commit, however they are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_refused_record_of_an_undo_is_left_to_an_operator() {
    let _turn = TURN.lock().await;
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    // States that are known to be about the data, and others.
    for state in ["22021", "P0001"] {
        OPEN.store(false, Ordering::SeqCst);
        refuse(&database, state).await;
        let run = rt.start(sells_in_a_saga, ()).await.unwrap();
        let message = blocked(&run).await;
        assert!(message.contains("the auditors forbid this"), "{message}");
        exec(database.url(), "DROP TRIGGER refuse ON forge_wf.journal").await;
        OPEN.store(true, Ordering::SeqCst);
        rt.client().retry(run.id(), "it is allowed now, and the counter is open").await.unwrap();
        let result = eventually("the end", async || run.result().await.ok()).await;
        assert!(result.contains("enough"), "{result}");
        let entries = rt.client().show(run.id()).await.unwrap().entries;
        let undone = entries.iter().find(|entry| entry.call == "step:sell_the_seat#0").expect("it is on record");
        assert_eq!(undone.undo, Some("done"));
    }
    rt.shutdown().await;
}

/// Takes a seat, then fails with the outcome of a step that may be refused in the same moment.
#[workflow]
async fn sells_in_vain(ctx: &WorkflowContext, n: u64) -> Result<String> {
    sell_the_seat(ctx).await?;
    let word = word_of(ctx, n).await?;
    Err(Failure::permanent(word))
}

/// What turns a run back is written with the outcome before it, and refused with it: then the run has not turned back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_turning_back_is_refused_is_undone_all_the_same() {
    let _turn = TURN.lock().await;
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    OPEN.store(true, Ordering::SeqCst);
    // Known to be about the data: the step has failed, and so has the run.
    refuse(&database, "22021").await;
    let run = rt.start(sells_in_vain, 7).await.unwrap();
    let told = run.result().await.unwrap_err();
    assert!(matches!(told, Error::RunFailed { status: Status::Compensated, .. }), "{told}");
    // Not known: an operator removes the cause.
    refuse(&database, "P0001").await;
    let run = rt.start(sells_in_vain, 7).await.unwrap();
    let message = blocked(&run).await;
    assert!(message.contains("the auditors forbid this"), "{message}");
    exec(database.url(), "DROP TRIGGER refuse ON forge_wf.journal").await;
    rt.client().retry(run.id(), "it is allowed now").await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Compensated).then_some(())).await;
    rt.shutdown().await;
}

/// Waits, once its row is there.
#[workflow]
async fn waits_for_approval(ctx: &WorkflowContext) -> Result<String> {
    word_of(ctx, 1).await?;
    let approved = ctx.wait_for_event::<Approved>().await?;
    Ok(approved.by)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_row_is_refused_is_blocked_and_not_replayed_for_ever() {
    let database = Database::postgres().await;
    let rt = quick(&database).park_for(Duration::ZERO).build().await.unwrap();
    exec(
        database.url(),
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE 'nobody waits here';
         END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON forge_wf.runs FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION refuse()",
    )
    .await;
    let run = rt.start(waits_for_approval, ()).await.unwrap();
    let message = blocked(&run).await;
    assert!(message.contains("nobody waits here"), "{message}");
    exec(database.url(), "DROP TRIGGER refuse ON forge_wf.runs").await;
    rt.client().retry(run.id(), "they may wait now").await.unwrap();
    rt.send_event(&run, Approved { by: "the auditors".into() }).await.unwrap();
    let result = eventually("the end", async || run.result().await.ok()).await;
    assert_eq!(result, "the auditors");
    rt.shutdown().await;
}

/// Starts a run and sends it the event it waits for. Returns the run, and a transaction of another session that has locked its row.
async fn hold<'s>(rt: &Runtime, stranger: &'s mut PgConnection) -> (RunHandle<Vec<String>>, Transaction<'s, Postgres>) {
    let held = rt.start(approvals, 1).await.unwrap();
    eventually("a wait", async || (held.status().await.unwrap() == Status::Waiting).then_some(())).await;
    let mut lock = stranger.begin().await.unwrap();
    let look = sqlx::query("SELECT FROM forge_wf.runs WHERE id = $1 FOR UPDATE").bind(held.id().0);
    look.execute(&mut *lock).await.unwrap();
    rt.send_event(&held, Approved { by: "me".into() }).await.unwrap();
    (held, lock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_rows_a_stranger_holds_waits_and_its_neighbours_go_on() {
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    let mut stranger = PgConnection::connect(database.url()).await.unwrap();
    let (held, lock) = hold(&rt, &mut stranger).await;
    for _ in 0..3 {
        neighbours_end(&start_twenty(&rt).await, "beside a lock").await;
    }
    assert!(!held.status().await.unwrap().is_ended());
    lock.rollback().await.unwrap();
    assert_eq!(held.result().await.unwrap(), ["me"]);
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_record_meets_a_conflict_each_time_waits_and_its_neighbours_go_on() {
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    for state in ["40001", "40P01", "55P03", "57014"] {
        refuse(&database, state).await;
        let runs = start_twenty(&rt).await;
        neighbours_end(&runs, state).await;
        let status = runs[7].status().await.unwrap();
        assert!(!status.is_blocked() && !status.is_ended(), "{state}: {status}");
        exec(database.url(), "DROP TRIGGER refuse ON forge_wf.journal").await;
        assert_eq!(runs[7].result().await.unwrap(), "word 1, poison", "{state}");
    }
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_shutdown_beside_a_row_that_a_stranger_holds_ends_in_time_and_the_run_is_finished_by_the_next_worker() {
    let database = Database::postgres().await;
    let rt = quick(&database).build().await.unwrap();
    let mut stranger = PgConnection::connect(database.url()).await.unwrap();
    let (held, lock) = hold(&rt, &mut stranger).await;
    let other = rt.start(words, 1).await.unwrap();
    assert_eq!(other.result().await.unwrap(), "word 1, word 1");
    tokio::time::timeout(Duration::from_secs(30), rt.shutdown()).await.expect("grace time and five seconds are over");
    lock.rollback().await.unwrap();
    let next = quick(&database).build().await.unwrap();
    assert_eq!(next.run::<Vec<String>>(held.id()).await.unwrap().result().await.unwrap(), ["me"]);
    next.shutdown().await;
}
