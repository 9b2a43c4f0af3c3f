//! Runs that begin anew: as their next generation, or as another run.

use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_scalar};

use super::audit::tell;
use super::error::{now, sorted};
use super::rows::returned;
use super::writer::Writer;
use crate::model::Phase;
use crate::store::{Audit, ForkRun, Forked, Posted, RetryRun, StoreError};

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

pub(super) async fn fork(writer: &Writer, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError> {
    let mut writing = writer.begin("fork_run").await?;
    let answer = write_fork(writing.connection(), fork, audit).await;
    writing.finish(answer).await
}

async fn write_fork(connection: &mut SqliteConnection, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError> {
    let fail = sorted("fork_run");
    let ForkRun { original, up_to, takes_undos, id } = fork;
    let phase = query_scalar::<_, i16>("SELECT phase FROM forge_wf_runs WHERE id = ?1").bind(original.0);
    match phase.fetch_optional(&mut *connection).await.map_err(&fail)?.and_then(Phase::from_wire) {
        None => return Ok(Forked::Unknown),
        Some(phase) if *takes_undos && phase != Phase::Ended => return Ok(Forked::NotEnded),
        Some(_) => {}
    }
    let run = query(include_str!("sql/fork_run.sql")).bind(original.0).bind(id.0).bind(now());
    if run.execute(&mut *connection).await.map_err(&fail)?.rows_affected() == 1 {
        let kept =
            query(include_str!("sql/fork_entries.sql")).bind(original.0).bind(id.0).bind(up_to).bind(takes_undos);
        kept.execute(&mut *connection).await.map_err(&fail)?;
        tell(connection, *id, audit).await?;
        if *takes_undos {
            let given_up = query(include_str!("sql/fork_undos.sql")).bind(original.0).bind(id.0).bind(up_to);
            given_up.execute(&mut *connection).await.map_err(&fail)?;
            tell(connection, *original, audit).await?;
        }
    }
    Ok(Forked::Made)
}
