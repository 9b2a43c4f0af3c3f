//! Mail: sending it, and what of it is still to be noticed or taken.
//!
//! Whatever the length of a flood to one run, no more than a page of it is read at a time.

use std::sync::LazyLock;

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Inner;
use super::columns::{Columns, text};
use super::error::sorted;
use super::rows::{mail, posted};
use super::unreadable::{may_be_a_run, may_be_the_row};
use crate::db::bags;
use crate::db::singly::{leave_alone, write_in_halves};
use crate::model::{Payload, RunId, WorkerId};
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
    const REMIND: &str = concat!(include_str!("sql/overdue/late.sql"), include_str!("sql/overdue/remind.sql"));
    const LIST: &str = concat!(include_str!("sql/overdue/late.sql"), include_str!("sql/overdue/list.sql"));
    let refused = inner.not_reminded.recent();
    let columns = |only: Option<Vec<RunId>>| {
        let columns = Columns::new().with(MailKind::Deadline as i16).each(&refused, |run| run.0);
        columns.with(only.map(|runs| runs.iter().map(|run| run.0).collect::<Vec<_>>()))
    };
    match inner.fetch(CALL, REMIND, columns(None)).await {
        Err(error) if may_be_a_run(&error) => {
            tracing::warn!(%error, "the database refuses reminders of overdue runs; sending them in smaller pieces");
        }
        answer => return Ok(answer?.len() as u64),
    }
    let late = inner.fetch(CALL, LIST, columns(None)).await?;
    let late = late.iter().map(|row| row.try_get(0).map(RunId)).collect::<Result<_, _>>().map_err(sorted(CALL))?;
    let write = |runs| {
        let rows = inner.fetch(CALL, REMIND, columns(Some(runs)));
        async move { Ok(rows.await?.len() as u64) }.boxed()
    };
    let pieces = write_in_halves(late, may_be_a_run, write).await?;
    leave_alone(&pieces, &inner.not_reminded);
    Ok(pieces.written)
}

pub(super) async fn unnoticed(inner: &Inner, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(include_str!("sql/unnoticed_mail.sql")));
    let columns = || page(Columns::new().with(worker.0)).with(MailKind::LAST as i16).each(except, |run| run.0);
    let found = find("unnoticed_mail", inner, include_str!("sql/unnoticed_mail.sql"), &BODILESS, columns).await?;
    Ok(found.into_iter().filter_map(|found| found.mail).collect())
}

const LOAD: &str = include_str!("sql/load_mail.sql");

/// The parameters of [`LOAD`].
fn load_columns(runs: &[RunId]) -> Columns {
    page(Columns::new().each(runs, |run| run.0)).with(MailKind::LAST as i16)
}

pub(super) async fn unnoticed_of(inner: &Inner, run: RunId) -> Result<Vec<Mail>, StoreError> {
    const UNNOTICED: &str = include_str!("sql/unnoticed_mail_of.sql");
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(UNNOTICED));
    let columns = || page(Columns::new().with(run.0)).with(MailKind::LAST as i16);
    let found = find("unnoticed_mail_of", inner, UNNOTICED, &BODILESS, columns).await?;
    Ok(found.into_iter().filter_map(|found| found.mail).collect())
}

pub(super) async fn runs_with_mail(inner: &Inner, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
    const CALL: &str = "runs_with_mail";
    let columns = Columns::new().each(runs, |run| run.0).with(MailKind::LAST as i16);
    let rows = inner.fetch(CALL, include_str!("sql/runs_with_mail.sql"), columns).await?;
    rows.iter().map(|row| row.try_get(0).map(RunId).map_err(sorted(CALL))).collect()
}

pub(super) async fn load(inner: &Inner, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
    const CALL: &str = "load_mail";
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(LOAD));
    let mut found: Vec<Vec<bags::Row>> = runs.iter().map(|_| Vec::new()).collect();
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    for Found { row, mail, unreadable } in find(CALL, inner, LOAD, &BODILESS, || load_columns(runs)).await? {
        let place: i64 = row.try_get(9).map_err(sorted(CALL))?;
        let found = usize::try_from(place - 1).ok().and_then(|place| found.get_mut(place));
        let there = row.try_get(10).map_err(sorted(CALL))?;
        found.expect("places count from 1 to the number of runs asked for").push(bags::Row { there, mail, unreadable });
    }
    Ok(runs.iter().zip(found).map(|(run, rows)| bags::inbox(*run, rows)).collect())
}

pub(super) async fn load_events(inner: &Inner, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
    const CALL: &str = "load_events";
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(include_str!("sql/load_events.sql")));
    let columns = || page(Columns::new().with(run.0).with(name));
    let mut rows = Vec::new();
    for found in find(CALL, inner, include_str!("sql/load_events.sql"), &BODILESS, columns).await? {
        let there = found.row.try_get(9).map_err(sorted(CALL))?;
        rows.push(bags::Row { there, mail: found.mail, unreadable: found.unreadable });
    }
    Ok(bags::bag(run, rows))
}

/// Mail as it was found.
struct Found {
    row: PgRow,
    /// If this build and the server can read it.
    mail: Option<Mail>,
    /// What the server says, if it cannot read its body.
    unreadable: Option<String>,
}

/// The same statement, without the bodies of what it finds.
fn bodiless(sql: &str) -> String {
    sql.replace("mail.body, mail.sent_at", "NULL::text, mail.sent_at")
}

/// Reads mail. If the server cannot read a row of it, the bodies are read one by one, so that one that is damaged hides no other.
async fn find(
    call: &'static str,
    inner: &Inner,
    sql: &'static str,
    bodiless: &'static str,
    columns: impl Fn() -> Columns,
) -> Result<Vec<Found>, StoreError> {
    let (rows, whole) = match inner.fetch(call, sql, columns()).await {
        Err(error) if may_be_the_row(&error) => (inner.fetch(call, bodiless, columns()).await?, false),
        answer => (answer?, true),
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (mut mail, mut unreadable) = (readable(call, &row)?, None);
        if let (false, Some(it)) = (whole, &mut mail) {
            const BODY: &str = "SELECT body FROM forge_wf.inbox WHERE id = $1";
            match inner.fetch(call, BODY, Columns::new().with(it.mail.id)).await {
                Ok(rows) => {
                    let body = rows.first().map(|row| row.try_get::<Option<&str>, _>(0)).transpose();
                    it.mail.body = body.map_err(sorted(call))?.flatten().map(Payload::from_json_text);
                }
                Err(error) if may_be_the_row(&error) => {
                    bags::tell_of_unreadable(it.mail.run, it.mail.id, &error);
                    (mail, unreadable) = (None, Some(format!("mail {}: {error}", it.mail.id)));
                }
                Err(error) => return Err(error),
            }
        }
        found.push(Found { row, mail, unreadable });
    }
    Ok(found)
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
