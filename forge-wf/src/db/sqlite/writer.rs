//! The one connection that writes.
//!
//! Hands out a [`Writing`], one at a time; ends it with COMMIT or ROLLBACK. Never hands on a connection in doubt: one whose
//! transaction was dropped half-way, or whose ROLLBACK failed, is closed, which undoes its transaction, and opened anew. Never
//! says that something is committed while another file, or none, stands at the path: see [`follow`](super::follow).

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_scalar};
use tokio::sync::{Mutex, MutexGuard};

use super::error::{sort, sorted};
use super::file::Files;
use super::follow::{Followed, Workers, close};
use super::open;
use super::strange::StrangeIds;
use crate::db::acknowledged::Acknowledged;
use crate::db::refusals::Refusals;
use crate::store::StoreError;

/// The writer: a connection, or `None` while there is none to trust; and which file it and the readers lead to.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) slot: Mutex<Slot>,
    pub(super) followed: std::sync::Mutex<Followed>,
    pub(super) workers: std::sync::Mutex<Workers>,
    pub(super) acknowledged: Acknowledged,
    /// Runs of dead workers that could not be freed.
    pub(super) not_freed: Refusals,
    /// Runs past their deadline whose reminder was refused.
    pub(super) not_reminded: Refusals,
    pub(super) strange: StrangeIds,
    /// Whether nothing is read any more.
    pub(super) closed: AtomicBool,
}

pub(super) struct Slot {
    pub(super) connection: Option<SqliteConnection>,
    /// A connection that has the file open for reading only, and does nothing. While it is open SQLite neither deletes the log nor
    /// copies it into the file because a connection is closed, and by itself it can do neither.
    pub(super) keeper: Option<SqliteConnection>,
    pub(super) closed: bool,
    /// `PRAGMA data_version` at the last look, which this very connection's own commits do not change; `None` before the first.
    pub(super) seen: Option<i64>,
}

/// No `data_version`: whatever the next look finds, it is news.
pub(super) const NEVER: i64 = -1;

/// An open write transaction. Dropped without [`Writing::finish`], its connection is closed and nothing was written.
pub(super) struct Writing<'w> {
    call: &'static str,
    writer: &'w Writer,
    slot: MutexGuard<'w, Slot>,
    connection: SqliteConnection,
}

impl Writer {
    /// A writer of the file at `path`, which is `files`, by this connection; with readers of the same file.
    pub(super) fn new(path: PathBuf, connection: SqliteConnection, keeper: SqliteConnection, files: Files) -> Self {
        let followed = Followed::new(open::readers(&path), files);
        let slot = Slot { connection: Some(connection), keeper: Some(keeper), closed: false, seen: None };
        Self {
            path,
            slot: Mutex::new(slot),
            followed: std::sync::Mutex::new(followed),
            workers: std::sync::Mutex::default(),
            closed: AtomicBool::new(false),
            acknowledged: Acknowledged::default(),
            not_freed: Refusals::default(),
            not_reminded: Refusals::default(),
            strange: StrangeIds::default(),
        }
    }

    /// The connection, opened anew if there is none to trust. Numbers of the old one mean nothing to the new.
    async fn take(&self, slot: &mut Slot, call: &'static str) -> Result<SqliteConnection, StoreError> {
        self.follow(slot, call).await?;
        if let Some(connection) = slot.connection.take() {
            return Ok(connection);
        }
        slot.seen = slot.seen.map(|_| NEVER);
        open::again(&self.path).await.map_err(sorted(call))
    }

    /// Waits for its turn and begins. IMMEDIATE, so the right to write is had from the start and no later statement can
    /// fail for want of it.
    pub(super) async fn begin(&self, call: &'static str) -> Result<Writing<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        let mut connection = self.take(&mut slot, call).await?;
        match query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Ok(Writing { call, writer: self, slot, connection }),
            Err(error) => {
                // Another process holds the file: the connection is sound. Anything else leaves doubt.
                let error = sort(call, error);
                if matches!(error, StoreError::Busy { .. }) {
                    slot.connection = Some(connection);
                }
                Err(error)
            }
        }
    }

    /// Whether somebody else has written to the file since the last look; the first look finds nothing.
    pub(super) async fn is_news(&self, call: &'static str) -> Result<bool, StoreError> {
        let mut slot = self.slot.lock().await;
        let mut connection = self.take(&mut slot, call).await?;
        let version = query_scalar("PRAGMA data_version").fetch_one(&mut connection).await.map_err(sorted(call))?;
        slot.connection = Some(connection);
        Ok(slot.seen.replace(version).is_some_and(|seen| seen != version))
    }

    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let readers = self.followed().readers.clone();
        readers.close().await;
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        // The writer goes last, and takes the log along.
        close(&mut slot.keeper).await;
        close(&mut slot.connection).await;
    }
}

impl Writing<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits if `answer` is good, undoes everything if it is an error. What was committed to a file that is not at the path any
    /// more counts as without an answer.
    pub(super) async fn finish<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let answer = match answer {
            Ok(answer) => match query("COMMIT").execute(&mut self.connection).await {
                Ok(_) => {
                    self.slot.connection = Some(self.connection);
                    self.writer.stands(self.call)?;
                    return Ok(answer);
                }
                Err(error) => Err(sort(self.call, error)),
            },
            Err(error) => Err(error),
        };
        self.undo().await;
        answer
    }

    /// Undoes everything.
    pub(super) async fn undo(mut self) {
        if query("ROLLBACK").execute(&mut self.connection).await.is_ok() {
            self.slot.connection = Some(self.connection);
        }
    }
}
