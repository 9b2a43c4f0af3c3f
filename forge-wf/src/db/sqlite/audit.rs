//! Orders with the line that says who gave them and why, and reading these lines.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Row, query};

use super::error::{now, sorted, time};
use super::mail::put;
use super::writer::Writer;
use crate::db::bags::AUDIT_SHOWN_MAX;
use crate::model::{RunId, Timestamp};
use crate::store::{Audit, NewMail, Posted, StoreError};

pub(super) async fn send(writer: &Writer, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError> {
    let mut writing = writer.begin("send_order").await?;
    let answer = write(writing.connection(), mail, audit).await;
    writing.finish(answer).await
}

async fn write(connection: &mut SqliteConnection, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError> {
    let (posted, new) = put(connection, mail).await?;
    if new {
        tell(connection, mail.run, audit).await?;
    }
    Ok(posted)
}

/// Notes who did what to this run.
pub(super) async fn tell(connection: &mut SqliteConnection, run: RunId, audit: &Audit) -> Result<(), StoreError> {
    let line = query(include_str!("sql/tell.sql")).bind(now()).bind(run.0).bind(audit.who.to_string());
    let line = line.bind(audit.action.to_string()).bind(audit.details.to_string());
    line.execute(connection).await.map_err(sorted("audit")).map(drop)
}

pub(super) async fn of_run(pool: &SqlitePool, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError> {
    const CALL: &str = "audit";
    let rows = query(include_str!("sql/audit.sql")).bind(run.0).bind(AUDIT_SHOWN_MAX).fetch_all(pool).await;
    let text = |row: &SqliteRow, at: usize| row.try_get::<&str, _>(at).map(Arc::from);
    let read = |row: &SqliteRow| {
        let audit = Audit { who: text(row, 1)?, action: text(row, 2)?, details: text(row, 3)? };
        Ok((time(row.try_get(0)?), audit))
    };
    rows.map_err(sorted(CALL))?.iter().map(read).collect::<Result<_, _>>().map_err(sorted(CALL))
}
