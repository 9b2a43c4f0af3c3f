//! Runs that begin anew: as their next generation, or as another run.

use sqlx::Row;

use super::Inner;
use super::columns::Columns;
use super::error::sorted;
use super::rows::posted;
use crate::store::{Audit, ForkRun, Forked, Posted, RetryRun, StoreError};

/// The parameters of `retry_run.sql`.
pub(super) fn retry_columns(retry: &RetryRun, audit: &Audit) -> Columns {
    let columns = Columns::new().with(retry.run.0).with(retry.generation).with(retry.keep).with(retry.seed);
    columns.with(&*audit.who).with(&*audit.action).with(&*audit.details)
}

pub(super) async fn retry(inner: &Inner, columns: Columns) -> Result<Posted, StoreError> {
    let rows = inner.fetch("retry_run", include_str!("sql/retry_run.sql"), columns).await?;
    Ok(match posted(rows.first())? {
        Posted::Ended(state) if state.may_be_retried() => Posted::Sent,
        answer => answer,
    })
}

/// The parameters of `fork_run.sql`.
pub(super) fn fork_columns(fork: &ForkRun, audit: &Audit) -> Columns {
    let columns = Columns::new().with(fork.original.0).with(fork.id.0).with(fork.up_to);
    columns.with(&*audit.who).with(&*audit.action).with(&*audit.details).with(fork.takes_undos)
}

pub(super) async fn fork(inner: &Inner, columns: Columns) -> Result<Forked, StoreError> {
    const CALL: &str = "fork_run";
    let rows = inner.fetch(CALL, include_str!("sql/fork_run.sql"), columns).await?;
    let Some(row) = rows.first() else { return Ok(Forked::Unknown) };
    let may_be_copied = row.try_get(0).map_err(sorted(CALL))?;
    Ok(if may_be_copied { Forked::Made } else { Forked::NotEnded })
}
