//! Runs that go on with another version of their workflow.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Row, query};

use super::audit::tell;
use super::error::{now, sorted};
use super::writer::Writer;
use crate::model::RunId;
use crate::store::{Audit, FindStrays, MoveRun, Mover, StoreError, Stray};

pub(super) async fn move_run(writer: &Writer, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError> {
    let mut writing = writer.begin("move_run").await?;
    let answer = write(writing.connection(), moved, audit).await;
    writing.finish(answer).await
}

async fn write(connection: &mut SqliteConnection, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError> {
    let fail = sorted("move_run");
    let MoveRun { run, by, generation, definition, version, unbound, entry } = moved;
    let (worker, mark, at) = match by {
        Mover::Owner { worker, claim_no } => (Some(worker.0), *claim_no, entry.at.timestamp_micros()),
        Mover::Anybody { weight } => (None, *weight, now()),
    };
    let rebound = query(include_str!("sql/move_run.sql"))
        .bind(run.0)
        .bind(worker)
        .bind(mark)
        .bind(definition.to_uuid())
        .bind(version.clone())
        .bind(generation)
        .bind(now())
        .bind(unbound.0.to_uuid())
        .bind(unbound.1.to_uuid());
    if rebound.execute(&mut *connection).await.map_err(&fail)?.rows_affected() == 0 {
        // It may have been this very move, sent again.
        let is_there =
            query("SELECT 1 FROM forge_wf_runs WHERE id = ?1 AND generation = ?2 AND definition = ?3 AND ?4 IS NULL");
        let is_there = is_there.bind(run.0).bind(generation).bind(definition.to_uuid()).bind(worker);
        return is_there.fetch_optional(&mut *connection).await.map(|row| row.is_some()).map_err(&fail);
    }
    let said = query(include_str!("sql/move_entry.sql"))
        .bind(run.0)
        .bind(generation)
        .bind(entry.call.key.clone())
        .bind(entry.call.n.cast_signed())
        .bind(entry.kind as i16)
        .bind(entry.state as i16)
        .bind(entry.args.as_ref().map(|args| args.as_str().to_owned()))
        .bind(at);
    said.execute(&mut *connection).await.map_err(&fail)?;
    if let Some(audit) = audit {
        tell(connection, *run, audit).await?;
    }
    Ok(true)
}

pub(super) async fn strays(pool: &SqlitePool, find: &FindStrays) -> Result<Vec<Stray>, StoreError> {
    const CALL: &str = "strays";
    let versions: Vec<_> =
        find.versions.iter().map(|it| (&*it.workflow, &*it.version, i32::from(it.is_replaced))).collect();
    let versions =
        serde_json::to_string(&versions).map_err(|error| StoreError::Refused { call: CALL, source: error.into() })?;
    let rows = query(include_str!("sql/strays.sql"))
        .bind(versions)
        .bind(find.algorithm)
        .bind(find.worker.0)
        .bind(find.after.map(|run| run.0))
        .bind(i64::from(find.limit))
        .bind(now())
        .fetch_all(pool)
        .await
        .map_err(sorted(CALL))?;
    let text = |row: &SqliteRow, at: usize| row.try_get::<&str, _>(at).map(Arc::from);
    let read = |row: &SqliteRow| {
        let (run, generation, seed) = (RunId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
        Ok(Stray { run, generation, seed, workflow: text(row, 3)?, version: text(row, 4)? })
    };
    rows.iter().map(|row| read(row).map_err(sorted(CALL))).collect()
}
