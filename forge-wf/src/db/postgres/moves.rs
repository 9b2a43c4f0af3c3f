//! Runs that go on with another version of their workflow.

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Inner;
use super::columns::{Columns, text};
use super::error::sorted;
use crate::model::RunId;
use crate::store::{Audit, FindStrays, MoveRun, Mover, StoreError, Stray};

/// The parameters of `move_run.sql`.
pub(super) fn move_columns(moved: &MoveRun, audit: Option<&Audit>) -> Columns {
    let MoveRun { run, by, generation, definition, version, unbound, entry } = moved;
    let (worker, mark) = match by {
        Mover::Owner { worker, claim_no } => (Some(worker.0), *claim_no),
        Mover::Anybody { weight } => (None, *weight),
    };
    Columns::new()
        .with(run.0)
        .with(worker)
        .with(mark)
        .with(definition.to_uuid())
        .with(&**version)
        .with(*generation)
        .with(&*entry.call.key)
        .with(entry.call.n.cast_signed())
        .with(entry.kind as i16)
        .with(entry.state as i16)
        .with(text(&entry.args))
        .with(entry.at)
        .with(audit.map(|audit| &*audit.who))
        .with(audit.map(|audit| &*audit.action))
        .with(audit.map(|audit| &*audit.details))
        .with(unbound.0.to_uuid())
        .with(unbound.1.to_uuid())
}

pub(super) async fn move_run(inner: &Inner, columns: Columns) -> Result<bool, StoreError> {
    Ok(!inner.fetch("move_run", include_str!("sql/move_run.sql"), columns).await?.is_empty())
}

pub(super) async fn strays(inner: &Inner, find: &FindStrays) -> Result<Vec<Stray>, StoreError> {
    const CALL: &str = "strays";
    let columns = Columns::new()
        .each(&find.versions, |it| &*it.workflow)
        .each(&find.versions, |it| &*it.version)
        .each(&find.versions, |it| it.is_replaced)
        .with(find.algorithm)
        .with(find.worker.0)
        .with(find.after.map(|run| run.0))
        .with(i64::from(find.limit));
    let rows = inner.fetch(CALL, include_str!("sql/strays.sql"), columns).await?;
    let text = |row: &PgRow, at: usize| row.try_get::<&str, _>(at).map(Arc::from);
    let read = |row: &PgRow| {
        let (run, generation, seed) = (RunId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
        Ok(Stray { run, generation, seed, workflow: text(row, 3)?, version: text(row, 4)? })
    };
    rows.iter().map(|row| read(row).map_err(sorted(CALL))).collect()
}
