//! The one connection that writes.
//!
//! Hands out a [`Writing`], one at a time; ends it with COMMIT or ROLLBACK. Never hands on a connection in doubt: one whose
//! transaction was dropped half-way, or whose ROLLBACK failed, is closed, which undoes its transaction, and opened anew.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, query, query_scalar};
use tokio::sync::{Mutex, MutexGuard};

use super::error::{sort, sorted};
use crate::store::StoreError;

/// The writer: a connection, or `None` while there is none to trust.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    slot: Mutex<Slot>,
}

struct Slot {
    connection: Option<SqliteConnection>,
    closed: bool,
    /// `PRAGMA data_version` at the last look, which this very connection's own commits do not change; `None` before the first.
    seen: Option<i64>,
}

/// No `data_version`: whatever the next look finds, it is news.
const NEVER: i64 = -1;

impl Slot {
    /// The connection, opened anew if there is none to trust. Numbers of the old one mean nothing to the new.
    async fn take(
        &mut self,
        call: &'static str,
        options: &SqliteConnectOptions,
    ) -> Result<SqliteConnection, StoreError> {
        if self.closed {
            return Err(sort(call, sqlx::Error::PoolClosed));
        }
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.seen = self.seen.map(|_| NEVER);
        options.connect().await.map_err(sorted(call))
    }
}

/// An open write transaction. Dropped without [`Writing::finish`], its connection is closed and nothing was written.
pub(super) struct Writing<'w> {
    call: &'static str,
    slot: MutexGuard<'w, Slot>,
    connection: SqliteConnection,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, slot: Mutex::new(Slot { connection: Some(connection), closed: false, seen: None }) }
    }

    /// Waits for its turn and begins. IMMEDIATE, so the right to write is had from the start and no later statement can
    /// fail for want of it.
    pub(super) async fn begin(&self, call: &'static str) -> Result<Writing<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        let mut connection = slot.take(call, &self.options).await?;
        match query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Ok(Writing { call, slot, connection }),
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
        let mut connection = slot.take(call, &self.options).await?;
        let version = query_scalar("PRAGMA data_version").fetch_one(&mut connection).await.map_err(sorted(call))?;
        slot.connection = Some(connection);
        Ok(slot.seen.replace(version).is_some_and(|seen| seen != version))
    }

    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some(connection) = slot.connection.take() {
            // Nothing is open; what cannot be closed in order is closed by being dropped.
            let _ = connection.close().await;
        }
    }
}

impl Writing<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits if `answer` is good, undoes everything if it is an error.
    pub(super) async fn finish<T>(mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let answer = match answer {
            Ok(answer) => match query("COMMIT").execute(&mut self.connection).await {
                Ok(_) => {
                    self.slot.connection = Some(self.connection);
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
