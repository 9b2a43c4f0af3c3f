//! Mail: sending it, and what of it is still to be noticed or taken.
//!
//! Whatever the length of a flood to one run, no more than a page of it is read at a time.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Inner;
use super::columns::{Columns, text};
use super::error::sorted;
use super::rows::{mail, posted};
use crate::db::bags;
use crate::model::{RunId, WorkerId};
use crate::store::{Inbox, MAIL_PAGE, MAIL_PAGE_BYTES, Mail, MailKind, Mailbag, NewMail, Posted, StoreError};

/// The parameters of `send_mail.sql` and `join_mail.sql`.
pub(super) fn send_columns(mail: &NewMail) -> Columns {
    let bytes = mail.body.as_ref().map_or(0, |body| body.as_str().len());
    let columns = Columns::new().weighing(bytes).with(mail.id).with(mail.run.0);
    columns.with(mail.kind as i16).with(&*mail.name).with(text(&mail.body))
}

pub(super) async fn send(inner: &Inner, columns: Columns) -> Result<Posted, StoreError> {
    let rows = inner.fetch("send_mail", include_str!("sql/send_mail.sql"), columns).await?;
    posted(rows.first())
}

pub(super) async fn remind_overdue(inner: &Inner) -> Result<u64, StoreError> {
    const CALL: &str = "remind_overdue";
    let columns = Columns::new().with(MailKind::Deadline as i16);
    let rows = inner.fetch(CALL, include_str!("sql/remind_overdue.sql"), columns).await?;
    Ok(rows.len() as u64)
}

pub(super) async fn unnoticed(inner: &Inner, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
    const CALL: &str = "unnoticed_mail";
    let columns = page(Columns::new().with(worker.0)).with(MailKind::LAST as i16).each(except, |run| run.0);
    read(CALL, &inner.fetch(CALL, include_str!("sql/unnoticed_mail.sql"), columns).await?)
}

pub(super) async fn unnoticed_of(inner: &Inner, run: RunId) -> Result<Vec<Mail>, StoreError> {
    const CALL: &str = "unnoticed_mail_of";
    let columns = page(Columns::new().with(run.0)).with(MailKind::LAST as i16);
    read(CALL, &inner.fetch(CALL, include_str!("sql/unnoticed_mail_of.sql"), columns).await?)
}

pub(super) async fn runs_with_mail(inner: &Inner, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
    const CALL: &str = "runs_with_mail";
    let columns = Columns::new().each(runs, |run| run.0).with(MailKind::LAST as i16);
    let rows = inner.fetch(CALL, include_str!("sql/runs_with_mail.sql"), columns).await?;
    rows.iter().map(|row| row.try_get(0).map(RunId).map_err(sorted(CALL))).collect()
}

pub(super) async fn load(inner: &Inner, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
    const CALL: &str = "load_mail";
    let mut found: Vec<Vec<bags::Row>> = runs.iter().map(|_| Vec::new()).collect();
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let columns = page(Columns::new().each(runs, |run| run.0)).with(MailKind::LAST as i16);
    for row in inner.fetch(CALL, include_str!("sql/load_mail.sql"), columns).await? {
        let place: i64 = row.try_get(9).map_err(sorted(CALL))?;
        let found = usize::try_from(place - 1).ok().and_then(|place| found.get_mut(place));
        let there = row.try_get(10).map_err(sorted(CALL))?;
        found
            .expect("places count from 1 to the number of runs asked for")
            .push(bags::Row { there, mail: readable(CALL, &row)? });
    }
    Ok(runs.iter().zip(found).map(|(run, rows)| bags::inbox(*run, rows)).collect())
}

pub(super) async fn load_events(inner: &Inner, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
    const CALL: &str = "load_events";
    let columns = page(Columns::new().with(run.0).with(name));
    let mut found = Vec::new();
    for row in inner.fetch(CALL, include_str!("sql/load_events.sql"), columns).await? {
        let there = row.try_get(9).map_err(sorted(CALL))?;
        found.push(bags::Row { there, mail: readable(CALL, &row)? });
    }
    Ok(bags::bag(run, found))
}

/// How long a page may be.
fn page(columns: Columns) -> Columns {
    columns.with(MAIL_PAGE as i64).with(MAIL_PAGE_BYTES as i64)
}

/// For people.
pub(super) async fn events(inner: &Inner, run: RunId) -> Result<Vec<Mail>, StoreError> {
    const CALL: &str = "events";
    let columns = Columns::new().with(run.0).with(bags::EVENTS_SHOWN_MAX);
    read(CALL, &inner.fetch(CALL, include_str!("sql/events.sql"), columns).await?)
}

fn read(call: &'static str, rows: &[PgRow]) -> Result<Vec<Mail>, StoreError> {
    rows.iter().filter_map(|row| readable(call, row).transpose()).collect()
}

fn readable(call: &'static str, row: &PgRow) -> Result<Option<Mail>, StoreError> {
    let id = |column| row.try_get::<Uuid, _>(column).unwrap_or_default();
    bags::readable(mail(call, row), RunId(id(2)), id(1))
}
