//! Mail: sending it, and what of it is still to be noticed or taken.
//!
//! Whatever the length of a flood to one run, no more than a page of it is read at a time.

use std::sync::LazyLock;

use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Row, query, query_scalar};
use uuid::Uuid;

use super::error::{now, sorted};
use super::rows::{Bound, bind_mail, mail, returned};
use super::unreadable::may_be_the_row;
use super::writer::Writer;
use crate::db::bags;
use crate::db::singly::{leave_alone, write_in_halves};
use crate::model::{Payload, RunId, WorkerId};
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
    let overdue = overdue.bind(list(&writer.not_reminded.recent())).fetch_all(pool).await.map_err(sorted(CALL))?;
    let overdue = overdue.into_iter().map(RunId).collect();
    let write = |runs: Vec<RunId>| {
        async move {
            let mut writing = writer.begin(CALL).await?;
            let answer = remind(writing.connection(), &runs).await;
            writing.finish(answer).await
        }
        .boxed()
    };
    let pieces = write_in_halves(overdue, may_be_the_row, write).await?;
    leave_alone(&pieces, &writer.not_reminded);
    Ok(pieces.written)
}

async fn remind(connection: &mut SqliteConnection, overdue: &[RunId]) -> Result<u64, StoreError> {
    for run in overdue {
        let (id, name) = (Uuid::now_v7(), "deadline".into());
        post(connection, &NewMail { id, run: *run, kind: MailKind::Deadline, name, body: None }).await?;
    }
    Ok(overdue.len() as u64)
}

pub(super) async fn unnoticed(pool: &SqlitePool, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
    const UNNOTICED: &str = include_str!("sql/unnoticed_mail.sql");
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(UNNOTICED));
    let ask = |sql: &'static str| page(query(sql).bind(worker.0)).bind(MailKind::LAST as i16).bind(list(except));
    let mut connection = pool.acquire().await.map_err(sorted("unnoticed_mail"))?;
    let found = find("unnoticed_mail", &mut connection, || ask(UNNOTICED), || ask(&BODILESS)).await?;
    Ok(found.into_iter().filter_map(|found| found.mail).collect())
}

pub(super) async fn unnoticed_of(pool: &SqlitePool, run: RunId) -> Result<Vec<Mail>, StoreError> {
    const UNNOTICED: &str = include_str!("sql/unnoticed_mail_of.sql");
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(UNNOTICED));
    let mut connection = pool.acquire().await.map_err(sorted("unnoticed_mail_of"))?;
    let (whole, bodiless) = (|| load_query(UNNOTICED, run), || load_query(&BODILESS, run));
    let found = find("unnoticed_mail_of", &mut connection, whole, bodiless).await?;
    Ok(found.into_iter().filter_map(|found| found.mail).collect())
}

pub(super) const LOAD: &str = include_str!("sql/load_mail.sql");

/// [`LOAD`], or the same without bodies, with its parameters.
pub(super) fn load_query(sql: &'static str, run: RunId) -> Bound<'static> {
    page(query(sql).bind(run.0)).bind(MailKind::LAST as i16)
}

/// How long a page may be.
fn page(query: Bound<'_>) -> Bound<'_> {
    query.bind(MAIL_PAGE as i64).bind(MAIL_PAGE_BYTES as i64)
}

pub(super) async fn runs_with_mail(pool: &SqlitePool, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
    let found = query_scalar::<_, Uuid>(include_str!("sql/runs_with_mail.sql"));
    let found = found.bind(list(runs)).bind(MailKind::LAST as i16).fetch_all(pool).await;
    Ok(found.map_err(sorted("runs_with_mail"))?.into_iter().map(RunId).collect())
}

/// Ids as one parameter: a JSON array of their bytes in hexadecimal digits, as `hex()` writes them.
pub(super) fn list(runs: &[RunId]) -> String {
    let ids: Vec<_> = runs.iter().map(|run| format!("\"{:X}\"", run.0.simple())).collect();
    format!("[{}]", ids.join(","))
}

pub(super) async fn load(pool: &SqlitePool, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
    const CALL: &str = "load_mail";
    let mut connection = pool.acquire().await.map_err(sorted(CALL))?;
    let mut inboxes = Vec::with_capacity(runs.len());
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(LOAD));
    for run in runs {
        let found = find(CALL, &mut connection, || load_query(LOAD, *run), || load_query(&BODILESS, *run)).await?;
        inboxes.push(bags::inbox(*run, pages(CALL, found)?));
    }
    Ok(inboxes)
}

pub(super) async fn load_events(pool: &SqlitePool, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
    const CALL: &str = "load_events";
    const EVENTS: &str = include_str!("sql/load_events.sql");
    static BODILESS: LazyLock<String> = LazyLock::new(|| bodiless(EVENTS));
    let ask = |sql: &'static str| page(query(sql).bind(run.0).bind(name.to_owned()));
    let mut connection = pool.acquire().await.map_err(sorted(CALL))?;
    let found = find(CALL, &mut connection, || ask(EVENTS), || ask(&BODILESS)).await?;
    Ok(bags::bag(run, pages(CALL, found)?))
}

/// Mail as it was found.
struct Found {
    row: SqliteRow,
    /// If this build and SQLite can read it.
    mail: Option<Mail>,
    /// What SQLite says, if it cannot read its body.
    unreadable: Option<String>,
}

/// The same statement, without the bodies of what it finds.
fn bodiless(sql: &str) -> String {
    sql.replace("mail.body, mail.sent_at", "NULL, mail.sent_at")
}

/// Reads mail. If SQLite cannot read a row of it, the bodies are read one by one, so that one that is damaged hides no other.
async fn find(
    call: &'static str,
    connection: &mut SqliteConnection,
    whole: impl Fn() -> Bound<'static>,
    bodiless: impl Fn() -> Bound<'static>,
) -> Result<Vec<Found>, StoreError> {
    let fail = sorted(call);
    let (rows, whole) = match whole().fetch_all(&mut *connection).await.map_err(&fail) {
        Err(error) if may_be_the_row(&error) => (bodiless().fetch_all(&mut *connection).await.map_err(&fail)?, false),
        answer => (answer?, true),
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (mut mail, mut unreadable) = (readable(call, &row)?, None);
        if let (false, Some(it)) = (whole, &mut mail) {
            let body = query_scalar::<_, Option<String>>("SELECT body FROM forge_wf_inbox WHERE id = ?1");
            match body.bind(it.mail.id).fetch_optional(&mut *connection).await.map_err(&fail) {
                Ok(body) => it.mail.body = body.flatten().map(Payload::from_json_text),
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

/// For people.
pub(super) async fn events(pool: &SqlitePool, run: RunId) -> Result<Vec<Mail>, StoreError> {
    let rows = query(include_str!("sql/events.sql")).bind(run.0).bind(bags::EVENTS_SHOWN_MAX);
    read("events", rows.fetch_all(pool).await)
}

fn read(call: &'static str, rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<Mail>, StoreError> {
    rows.map_err(sorted(call))?.iter().filter_map(|row| readable(call, row).transpose()).collect()
}

fn pages(call: &'static str, found: Vec<Found>) -> Result<Vec<bags::Row>, StoreError> {
    let row = |Found { row, mail, unreadable }| {
        Ok(bags::Row { there: row.try_get(9).map_err(sorted(call))?, mail, unreadable })
    };
    found.into_iter().map(row).collect()
}

fn readable(call: &'static str, row: &SqliteRow) -> Result<Option<Mail>, StoreError> {
    let id = |column| row.try_get::<Uuid, _>(column).unwrap_or_default();
    bags::readable(mail(call, row), RunId(id(2)), id(1))
}
