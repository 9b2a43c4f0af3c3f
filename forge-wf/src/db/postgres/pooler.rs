//! Finds out whether a connection pooler serves named prepared statements as PostgreSQL itself does.
//!
//! A pooler in transaction or statement mode serves many clients by one process of the server. Every client of the same driver
//! names its statements alike (`sqlx_s_1`), so a pooler that passes the names on lets one client execute the statement of another:
//! answers, and writes, belong to something else. Takes a connection through the pooler and opens a second one; asks both in the simple
//! protocol, which names nothing, and executes no named statement. Keeps nothing.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqlSafeStr, raw_sql};
use tokio::time::timeout;
use uuid::Uuid;

use super::connect::{Link, Opener};
use super::error::{state, timed_out};

/// How often both connections are asked for their process. A pooler that picks between two processes at random would have to pick
/// as in session mode each time, once in 2^24.
const ROUNDS: usize = 8;
/// How long all questions may take. A pooler lets a client without a process wait.
const ANSWERS_MAX: Duration = Duration::from_secs(10);

/// Whether statements of different clients get mixed up.
///
/// The answer is no if the pooler gives the statements names of its own, or keeps each connection on one process of the server (session
/// mode, and proxies that do so for clients with prepared statements).
///
/// # Errors
/// What the pooler or the server answers; `Io` if no answer came in time.
pub(super) async fn mixes_statements(opener: &Opener, link: &mut Link) -> Result<bool, sqlx::Error> {
    let asking = async {
        if !passes_names(&mut link.connection).await? {
            return Ok(false);
        }
        let mut other = opener.open().await?;
        let mixes = async {
            // Some proxies keep a connection on one process once it has prepared a statement, so the second one prepares one too.
            passes_names(&mut other.connection).await?;
            shares_processes(&mut link.connection, &mut other.connection).await
        };
        let mixes = mixes.await;
        other.close().await;
        mixes
    };
    match timeout(ANSWERS_MAX, asking).await {
        Ok(Err(error)) if shows_mixing(&error) => Ok(true),
        Ok(answer) => answer,
        Err(_) => Err(timed_out("the connection pooler gave no second connection", ANSWERS_MAX)),
    }
}

/// Whether the server knows a statement by the name that the driver gave it.
///
/// All in one transaction, so on one process, and the statement is removed again: other clients get that process next.
async fn passes_names(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // The driver's names for statements begin so.
    const NAMES: &str = "sqlx_s_";
    let mark = Uuid::now_v7().simple();
    raw_sql("BEGIN").execute(&mut *connection).await?;
    (&mut *connection).prepare(AssertSqlSafe(format!("SELECT 'forge_wf {mark}'")).into_sql_str()).await?;
    let names = format!("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%{mark}%'");
    let name = raw_sql(AssertSqlSafe(names)).fetch_optional(&mut *connection).await?;
    connection.clear_cached_statements().await?;
    raw_sql("COMMIT").execute(&mut *connection).await?;
    Ok(name.map(|row| row.try_get::<String, _>(0)).transpose()?.is_some_and(|name| name.starts_with(NAMES)))
}

/// Whether one of the two was served by another process meanwhile, or both by the same one.
///
/// The first is asked twice in a row: a pooler with two idle processes that takes them in turn would serve each by its own.
async fn shares_processes(one: &mut PgConnection, other: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let (first, second) = (process(one).await?, process(other).await?);
    for _ in 0..ROUNDS {
        if first == second
            || process(one).await? != first
            || process(one).await? != first
            || process(other).await? != second
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

/// Whether this error is one that only a pooler without transactions, or one that mixes up statements, gives.
fn shows_mixing(error: &sqlx::Error) -> bool {
    match state(error).as_deref() {
        // The name is taken, by a statement of another client; or it is on another process.
        Some("42P05" | "26000") => true,
        // PgBouncer in statement mode: "transaction blocks not allowed in statement pooling mode".
        Some("08P01") => error.to_string().contains("transaction"),
        _ => false,
    }
}
