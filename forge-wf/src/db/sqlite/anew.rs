//! Runs that begin anew: as their next generation, or as another run.

use sqlx::query;
use sqlx::sqlite::SqliteConnection;

use super::audit::tell;
use super::error::{now, sorted};
use super::rows::returned;
use super::writer::Writer;
use crate::store::{Audit, ForkRun, Posted, RetryRun, StoreError};

pub(super) async fn retry(writer: &Writer, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError> {
    let mut writing = writer.begin("retry_run").await?;
    let answer = write_retry(writing.connection(), retry, audit).await;
    writing.finish(answer).await
}

async fn write_retry(connection: &mut SqliteConnection, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError> {
    let fail = sorted("retry_run");
    let RetryRun { run, generation, keep, seed } = retry;
    let anew = query(include_str!("sql/retry_run.sql")).bind(run.0).bind(generation).bind(keep).bind(seed).bind(now());
    if anew.execute(&mut *connection).await.map_err(&fail)?.rows_affected() == 1 {
        let kept = query(include_str!("sql/retry_entries.sql")).bind(run.0).bind(generation).bind(keep);
        kept.execute(&mut *connection).await.map_err(&fail)?;
        tell(connection, *run, audit).await?;
        return Ok(Posted::Sent);
    }
    let run = query("SELECT phase, state FROM forge_wf_runs WHERE id = ?1").bind(run.0);
    returned(run.fetch_optional(&mut *connection).await.map_err(&fail)?.as_ref())
}

pub(super) async fn fork(writer: &Writer, fork: &ForkRun, audit: &Audit) -> Result<bool, StoreError> {
    let mut writing = writer.begin("fork_run").await?;
    let answer = write_fork(writing.connection(), fork, audit).await;
    writing.finish(answer).await
}

async fn write_fork(connection: &mut SqliteConnection, fork: &ForkRun, audit: &Audit) -> Result<bool, StoreError> {
    let fail = sorted("fork_run");
    let run = query(include_str!("sql/fork_run.sql")).bind(fork.original.0).bind(fork.id.0).bind(now());
    if run.execute(&mut *connection).await.map_err(&fail)?.rows_affected() == 1 {
        let kept = query(include_str!("sql/fork_entries.sql")).bind(fork.original.0).bind(fork.id.0).bind(fork.up_to);
        kept.execute(&mut *connection).await.map_err(&fail)?;
        tell(connection, fork.id, audit).await?;
        return Ok(true);
    }
    let original = query("SELECT 1 FROM forge_wf_runs WHERE id = ?1").bind(fork.original.0);
    Ok(original.fetch_optional(&mut *connection).await.map_err(&fail)?.is_some())
}
