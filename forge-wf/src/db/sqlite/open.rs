//! Opens the file, or says in a sentence what a person has to change.
//!
//! Takes an address; hands on a writer, which has readers as well, of a migrated file. Never changes a file whose schema is
//! newer than this build.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, query, query_scalar, raw_sql};

use super::error::{BUSY, CANTOPEN, NOTADB, READONLY, code, now, sort, sorted};
use super::file::{FileId, Files};
use super::writer::Writer;
use crate::db::migrate::{Migration, pending};
use crate::store::StoreError;

const CALL: &str = "open";

/// How long a statement waits for another process to finish its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What is left of the log (`-wal`) after it has grown, in bytes, as soon as nothing reads from it any more.
const WAL_BYTES_KEPT: &str = "16777216";
/// How often a file that is replaced while it is opened is opened again.
const ATTEMPTS: u32 = 3;
/// Reads in flight at a time; each connection has a thread of its own.
const READERS_MAX: u32 = 4;
/// Seven statements in four shapes, and some thirty others.
const STATEMENTS_CACHED: usize = 200;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "runs", sql: include_str!("../../../migrations/sqlite/0001_runs.sql") },
    Migration { version: 2, name: "waits", sql: include_str!("../../../migrations/sqlite/0002_waits.sql") },
    Migration { version: 3, name: "orders", sql: include_str!("../../../migrations/sqlite/0003_orders.sql") },
    Migration { version: 4, name: "deadlines", sql: include_str!("../../../migrations/sqlite/0004_deadlines.sql") },
    Migration { version: 5, name: "versions", sql: include_str!("../../../migrations/sqlite/0005_versions.sql") },
    Migration { version: 6, name: "signatures", sql: include_str!("../../../migrations/sqlite/0006_signatures.sql") },
    Migration { version: 7, name: "bad_days", sql: include_str!("../../../migrations/sqlite/0007_bad_days.sql") },
];

/// Opens or creates the file at `address` and brings its schema up to date. A relative path means the working directory of this
/// moment, and not that of a later one.
pub(super) async fn open(address: &str) -> Result<Writer, StoreError> {
    let (path, create) = parse(address)?;
    let path = std::path::absolute(&path).unwrap_or(path);
    inspect(&path, create)?;
    let (connection, keeper, files) = attach(&path, create).await?;
    Ok(Writer::new(path, connection, keeper, files))
}

/// Opens a file that stands at `path` in place of the one that was opened before, and brings its schema up to date.
///
/// # Errors
/// `Unavailable` if it holds no tables of forge-wf: then it may be written at this moment.
pub(super) async fn existing(path: &Path) -> Result<Attached, StoreError> {
    let mut connection = connect(&to_read(path), path).await?;
    if !has_migrations(&mut connection).await.map_err(sorted(CALL))? {
        let source = format!("the file at {} holds no tables of forge-wf", path.display()).into();
        return Err(StoreError::Unavailable { call: CALL, source });
    }
    connection.close().await.map_err(sorted(CALL))?;
    attach(path, false).await
}

/// In this mode nothing of a file that belongs to another program is changed, neither the mode of its journal nor its length.
fn to_read(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    options.disable_statement_logging()
}

/// Another connection to the same file.
pub(super) async fn again(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path).connect().await
}

/// Connections that read, opened when they are needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    // `query_only` and not a read-only file: readers of a WAL file write to its index.
    let options = options(path).pragma("query_only", "ON");
    SqlitePoolOptions::new().max_connections(READERS_MAX).connect_lazy_with(options)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: what was committed survives a power cut, which is the promise; NORMAL keeps it only through a crash.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_BYTES_KEPT)
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging()
}

/// A connection that writes, one that [keeps](super::writer::Slot::keeper) the log, and which files they lead to.
type Attached = (SqliteConnection, SqliteConnection, Files);

/// Connects to the file at `path` and brings its schema up to date.
async fn attach(path: &Path, create: bool) -> Result<Attached, StoreError> {
    let unclear = |error: std::io::Error| StoreError::Unavailable { call: CALL, source: error.into() };
    for _ in 0..ATTEMPTS {
        let before = FileId::at(path).map_err(unclear)?;
        let mut connection = connect(&options(path).create_if_missing(create), path).await?;
        migrate(&mut connection, MIGRATIONS).await.map_err(|error| match error {
            Refusal::Store(error) => error,
            Refusal::Driver(error) => explain(error, path),
        })?;
        let mut keeper = connect(&to_read(path), path).await?;
        // From its first read on it holds its lock on the file.
        has_migrations(&mut keeper).await.map_err(sorted(CALL))?;
        match Files::at(path).map_err(unclear)? {
            Some(files) if before.is_none_or(|before| files.is(before)) => return Ok((connection, keeper, files)),
            // The connections lead to one of the two, and nobody knows to which.
            _ => drop((keeper.close().await, connection.close().await)),
        }
    }
    let source = format!("the file at {} was replaced while it was opened", path.display()).into();
    Err(StoreError::Unavailable { call: CALL, source })
}

/// The path an address names, and whether the file may be created.
fn parse(address: &str) -> Result<(PathBuf, bool), StoreError> {
    let rest = address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("sqlite:")).unwrap_or(address);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if path == ":memory:" || parameters.split('&').any(|parameter| parameter == "mode=memory") {
        return wrong(format!(
            "the database {address:?} is kept in memory and would lose every run with the process; name a file, as in sqlite:runs.db"
        ));
    }
    if path.is_empty() {
        return wrong(format!("the database address {address:?} names no file; write one, as in sqlite:runs.db"));
    }
    match parameters {
        "" | "mode=rwc" => Ok((path.into(), true)),
        "mode=rw" => Ok((path.into(), false)),
        other => wrong(format!(
            "the database address {address:?} has parameters {other:?} that forge-wf does not know; remove them (only mode=rwc and mode=rw are allowed)"
        )),
    }
}

/// What can be told before SQLite is asked, in words that say what to do.
fn inspect(path: &Path, create: bool) -> Result<(), StoreError> {
    let shown = path.display();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(parent) {
        Err(_) => return wrong(format!("the directory of the database {shown} does not exist; create it first")),
        Ok(found) if !found.is_dir() => {
            return wrong(format!(
                "{} is not a directory, so {shown} cannot lie in it; name another path",
                parent.display()
            ));
        }
        // Beside the file itself lie its -wal and -shm files.
        Ok(found) if found.permissions().readonly() => {
            return wrong(format!(
                "the directory of the database {shown} cannot be written; allow it (chmod u+w) or name another path"
            ));
        }
        Ok(_) => {}
    }
    match std::fs::metadata(path) {
        Err(_) if !create => wrong(format!("the database {shown} does not exist; create it, or leave out mode=rw")),
        Ok(found) if found.is_dir() => wrong(format!("the database {shown} is a directory; name a file")),
        Ok(found) if found.permissions().readonly() => {
            wrong(format!("the database {shown} is read-only; allow writing (chmod u+w) or name another file"))
        }
        _ => Ok(()),
    }
}

/// Connects; waits while another process turns the same file into WAL mode, for which SQLite itself does not wait.
async fn connect(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, StoreError> {
    let begin = std::time::Instant::now();
    loop {
        match options.connect().await {
            Err(error) if code(&error) == Some(BUSY) && begin.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return answer.map_err(|error| explain(error, path)),
        }
    }
}

fn explain(error: sqlx::Error, path: &Path) -> StoreError {
    let shown = path.display();
    let what = match code(&error) {
        Some(NOTADB) => format!("{shown} is not an SQLite database; name another file, or move this one away"),
        Some(READONLY) => format!("the database {shown} cannot be written; allow it for this user, file and directory"),
        Some(CANTOPEN) => {
            format!("the database {shown} cannot be opened or created; check the path and its access rights")
        }
        _ => return sort(CALL, error),
    };
    StoreError::Misconfigured { what }
}

fn wrong<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Misconfigured { what })
}

enum Refusal {
    Store(StoreError),
    Driver(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

/// Applies what is pending, all of it or nothing. IMMEDIATE, so of two processes that open a new file one waits.
async fn migrate(connection: &mut SqliteConnection, known: &'static [Migration]) -> Result<(), Refusal> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let newest: Option<i64> = match has_migrations(&mut transaction).await? {
        true => query_scalar("SELECT max(version) FROM forge_wf_migrations").fetch_one(&mut *transaction).await?,
        false => None,
    };
    let pending = pending(known, newest).map_err(Refusal::Store)?;
    if pending.is_empty() {
        return Ok(transaction.rollback().await?);
    }
    raw_sql(
        "CREATE TABLE IF NOT EXISTS forge_wf_migrations \
         (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *transaction)
    .await?;
    for migration in pending {
        raw_sql(migration.sql).execute(&mut *transaction).await?;
        query("INSERT INTO forge_wf_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)")
            .bind(migration.version)
            .bind(migration.name)
            .bind(now())
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

async fn has_migrations(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'forge_wf_migrations')";
    query_scalar(exists).fetch_one(connection).await
}
