//! Orders with the line that says who gave them and why, and reading these lines.

use std::sync::Arc;

use sqlx::Row;

use super::Inner;
use super::columns::Columns;
use super::error::sorted;
use super::mail::send_columns;
use super::rows::posted;
use super::time::time;
use crate::db::bags::AUDIT_SHOWN_MAX;
use crate::model::{RunId, Timestamp};
use crate::store::{Audit, NewMail, Posted, StoreError};

/// The parameters of `send_order.sql`.
pub(super) fn order_columns(mail: &NewMail, audit: &Audit) -> Columns {
    send_columns(mail).with(&*audit.who).with(&*audit.action).with(&*audit.details)
}

pub(super) async fn send(inner: &Inner, columns: Columns) -> Result<Posted, StoreError> {
    let rows = inner.fetch("send_order", include_str!("sql/send_order.sql"), columns).await?;
    posted(rows.first())
}

pub(super) async fn of_run(inner: &Inner, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError> {
    const CALL: &str = "audit";
    let columns = Columns::new().with(run.0).with(AUDIT_SHOWN_MAX);
    let rows = inner.fetch(CALL, include_str!("sql/audit.sql"), columns).await?;
    let text = |row: &sqlx::postgres::PgRow, at: usize| row.try_get::<&str, _>(at).map(Arc::from);
    let read = |row| Ok((time(row, 0)?, Audit { who: text(row, 1)?, action: text(row, 2)?, details: text(row, 3)? }));
    rows.iter().map(read).collect::<Result<_, _>>().map_err(sorted(CALL))
}
