//! Mail: sending it, and what of it is still to be noticed or taken.
//!
//! Whatever the length of a flood to one run, no more than a page of it is read at a time.

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Row, query, query_scalar};
use uuid::Uuid;

use super::error::{now, sorted};
use super::rows::{bind_mail, mail, returned};
use super::writer::Writer;
use crate::db::bags;
use crate::model::{RunId, WorkerId};
use crate::store::{Inbox, MAIL_PAGE, MAIL_PAGE_BYTES, Mail, MailKind, Mailbag, NewMail, Posted, StoreError};

pub(super) async fn send(writer: &Writer, mail: &NewMail) -> Result<Posted, StoreError> {
    let mut writing = writer.begin("send_mail").await?;
    let answer = post(writing.connection(), mail).await;
    writing.finish(answer).await
}

/// Puts the mail in, or finds out why it was not. Writes first: in a user's transaction that has only begun, this waits for
/// another writer, while a read that becomes a write would be refused.
pub(super) async fn post(connection: &mut SqliteConnection, mail: &NewMail) -> Result<Posted, StoreError> {
    put(connection, mail).await.map(|(posted, _)| posted)
}

/// The same; says also whether it was put in just now.
pub(super) async fn put(connection: &mut SqliteConnection, mail: &NewMail) -> Result<(Posted, bool), StoreError> {
    let fail = sorted("send_mail");
    let put = bind_mail(query(include_str!("sql/post_mail.sql")), mail, now());
    if put.fetch_optional(&mut *connection).await.map_err(&fail)?.is_some() {
        return Ok((Posted::Sent, true));
    }
    let run = query("SELECT phase, state FROM forge_wf_runs WHERE id = ?1").bind(mail.run.0);
    Ok((returned(run.fetch_optional(&mut *connection).await.map_err(&fail)?.as_ref())?, false))
}

pub(super) async fn remind_overdue(pool: &SqlitePool, writer: &Writer) -> Result<u64, StoreError> {
    const CALL: &str = "remind_overdue";
    // Mostly there are none, and then nobody is to wait for the one writer.
    let overdue = query_scalar::<_, Uuid>(include_str!("sql/overdue.sql")).bind(now()).bind(MailKind::Deadline as i16);
    let overdue = overdue.fetch_all(pool).await.map_err(sorted(CALL))?;
    if overdue.is_empty() {
        return Ok(0);
    }
    let mut writing = writer.begin(CALL).await?;
    let answer = remind(writing.connection(), &overdue).await;
    writing.finish(answer).await
}

async fn remind(connection: &mut SqliteConnection, overdue: &[Uuid]) -> Result<u64, StoreError> {
    for run in overdue {
        let (id, run, name) = (Uuid::now_v7(), RunId(*run), "deadline".into());
        post(connection, &NewMail { id, run, kind: MailKind::Deadline, name, body: None }).await?;
    }
    Ok(overdue.len() as u64)
}

pub(super) async fn unnoticed(pool: &SqlitePool, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
    const CALL: &str = "unnoticed_mail";
    let rows = query(include_str!("sql/unnoticed_mail.sql")).bind(worker.0);
    let rows = rows.bind(MAIL_PAGE as i64).bind(MAIL_PAGE_BYTES as i64).bind(MailKind::LAST as i16).bind(list(except));
    read(CALL, rows.fetch_all(pool).await)
}

pub(super) async fn unnoticed_of(pool: &SqlitePool, run: RunId) -> Result<Vec<Mail>, StoreError> {
    const CALL: &str = "unnoticed_mail_of";
    let rows = query(include_str!("sql/unnoticed_mail_of.sql")).bind(run.0);
    let rows = rows.bind(MAIL_PAGE as i64).bind(MAIL_PAGE_BYTES as i64).bind(MailKind::LAST as i16);
    read(CALL, rows.fetch_all(pool).await)
}

pub(super) async fn runs_with_mail(pool: &SqlitePool, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
    let found = query_scalar::<_, Uuid>(include_str!("sql/runs_with_mail.sql"));
    let found = found.bind(list(runs)).bind(MailKind::LAST as i16).fetch_all(pool).await;
    Ok(found.map_err(sorted("runs_with_mail"))?.into_iter().map(RunId).collect())
}

/// Ids as one parameter: a JSON array of their bytes in hexadecimal digits, as `hex()` writes them.
fn list(runs: &[RunId]) -> String {
    let ids: Vec<_> = runs.iter().map(|run| format!("\"{:X}\"", run.0.simple())).collect();
    format!("[{}]", ids.join(","))
}

pub(super) async fn load(pool: &SqlitePool, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
    const CALL: &str = "load_mail";
    let mut connection = pool.acquire().await.map_err(sorted(CALL))?;
    let mut inboxes = Vec::with_capacity(runs.len());
    for run in runs {
        let rows = query(include_str!("sql/load_mail.sql")).bind(run.0);
        let rows = rows.bind(MAIL_PAGE as i64).bind(MAIL_PAGE_BYTES as i64).bind(MailKind::LAST as i16);
        inboxes.push(bags::inbox(*run, pages(CALL, rows.fetch_all(&mut *connection).await)?));
    }
    Ok(inboxes)
}

pub(super) async fn load_events(pool: &SqlitePool, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
    let rows = query(include_str!("sql/load_events.sql")).bind(run.0).bind(name);
    let rows = rows.bind(MAIL_PAGE as i64).bind(MAIL_PAGE_BYTES as i64);
    Ok(bags::bag(run, pages("load_events", rows.fetch_all(pool).await)?))
}

/// For people.
pub(super) async fn events(pool: &SqlitePool, run: RunId) -> Result<Vec<Mail>, StoreError> {
    let rows = query(include_str!("sql/events.sql")).bind(run.0).bind(bags::EVENTS_SHOWN_MAX);
    read("events", rows.fetch_all(pool).await)
}

fn read(call: &'static str, rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<Mail>, StoreError> {
    rows.map_err(sorted(call))?.iter().filter_map(|row| readable(call, row).transpose()).collect()
}

fn pages(call: &'static str, rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<bags::Row>, StoreError> {
    let row =
        |row: &SqliteRow| Ok(bags::Row { there: row.try_get(9).map_err(sorted(call))?, mail: readable(call, row)? });
    rows.map_err(sorted(call))?.iter().map(row).collect()
}

fn readable(call: &'static str, row: &SqliteRow) -> Result<Option<Mail>, StoreError> {
    let id = |column| row.try_get::<Uuid, _>(column).unwrap_or_default();
    bags::readable(mail(call, row), RunId(id(2)), id(1))
}
