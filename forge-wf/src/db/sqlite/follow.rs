//! Follows the path: notices that another file stands there, or none, and moves the writer and the readers to it.
//!
//! Every call that reads or writes asks first which file stands at the path, which takes some microseconds. Of a file that was
//! deleted or moved away nothing is read or written any more, and none is created in its place. A file that stands there instead is
//! opened as it is. What this process has registered as workers belongs to the former file: their lease is lost.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::error::{lost, sort, sorted};
use super::file::{FileId, Files};
use super::writer::{NEVER, Slot, Writer};
use super::{open, workers};
use crate::model::WorkerId;
use crate::store::StoreError;

/// How long reads that are under way on a former file may take to end.
const LAST_READS: Duration = Duration::from_secs(5);

/// The file that is followed, and the readers of it.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) readers: SqlitePool,
    /// `None` while the next one is being opened.
    files: Option<Files>,
    /// Whether it was said that no file, or another one, stands at the path.
    said: bool,
}

impl Followed {
    pub(super) fn new(readers: SqlitePool, files: Files) -> Self {
        Self { readers, files: Some(files), said: false }
    }
}

/// The workers that were registered through this store.
#[derive(Default)]
pub(super) struct Workers {
    here: HashSet<WorkerId>,
    /// Those that were registered in a file that is not the present one.
    elsewhere: HashSet<WorkerId>,
}

/// What stands at the path.
enum Found {
    Same,
    Nothing,
    Another,
}

impl Writer {
    pub(super) fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self) -> Found {
        let main = self.followed().files.as_ref().map(|files| files.main);
        match FileId::at(&self.path) {
            Ok(Some(found)) if Some(found) != main => Found::Another,
            Ok(None) => Found::Nothing,
            // What cannot be found out for the moment counts as unchanged.
            Ok(Some(_)) | Err(_) => Found::Same,
        }
    }

    /// Whether the file still stands at the path.
    ///
    /// # Errors
    /// `Unavailable` if it does not. What was just committed went to a file that nobody can open.
    pub(super) fn stands(&self, call: &'static str) -> Result<(), StoreError> {
        match self.found() {
            Found::Same => Ok(()),
            Found::Nothing => Err(self.gone(call)),
            Found::Another => {
                self.leave_file("was replaced by another file");
                Err(self.unavailable(call, "was replaced by another file"))
            }
        }
    }

    /// The readers of the file at the path.
    ///
    /// # Errors
    /// `Unavailable` while no file stands there, or while the one that stands there cannot be opened.
    pub(super) async fn readers(&self, call: &'static str) -> Result<SqlitePool, StoreError> {
        if !matches!(self.found(), Found::Same) {
            self.follow(&mut *self.slot.lock().await, call).await?;
        }
        Ok(self.followed().readers.clone())
    }

    /// Makes sure that the writer and the readers lead to the file at the path.
    ///
    /// # Errors
    /// `Unavailable` while no file stands there, or while the one that stands there cannot be opened; `SchemaTooNew` and
    /// `Misconfigured` as when a store is opened.
    pub(super) async fn follow(&self, slot: &mut Slot, call: &'static str) -> Result<(), StoreError> {
        if slot.closed {
            return Err(sort(call, sqlx::Error::PoolClosed));
        }
        match self.found() {
            Found::Same if self.followed().said => {
                if let Some(connection) = &mut slot.connection {
                    self.dismiss_own(connection).await?;
                }
                self.followed().said = false;
                tracing::warn!(file = %self.path.display(), "the database file is back at its path");
                Ok(())
            }
            Found::Same => Ok(()),
            Found::Nothing => Err(self.gone(call)),
            Found::Another => {
                self.leave_file("was replaced by another file");
                self.move_on(slot, call).await
            }
        }
    }

    fn gone(&self, call: &'static str) -> StoreError {
        self.leave_file("was deleted or moved away");
        self.unavailable(call, "was deleted or moved away; none is created in its place: put a file there")
    }

    fn unavailable(&self, call: &'static str, what: &str) -> StoreError {
        let source = format!("the database file {} {what}", self.path.display()).into();
        StoreError::Unavailable { call, source }
    }

    /// Says once what became of the file; its workers have lost their lease.
    fn leave_file(&self, what: &str) {
        {
            let mut workers = self.workers();
            let here = std::mem::take(&mut workers.here);
            workers.elsewhere.extend(here);
        }
        if !std::mem::replace(&mut self.followed().said, true) {
            tracing::error!(
                file = %self.path.display(),
                "the database file {what} under this process; what is not committed is dropped, and the process goes on with \
                 the file at the path"
            );
        }
    }

    /// A connection was opened anew: the former one may have taken the log along, and then this one has made another.
    pub(super) fn has_reopened(&self) {
        let mut followed = self.followed();
        if let Ok(Some(files)) = Files::at(&self.path)
            && followed.files.as_ref().is_some_and(|known| known.main == files.main)
        {
            followed.files = Some(files);
        }
    }

    /// Opens the file that stands at the path now.
    async fn move_on(&self, slot: &mut Slot, call: &'static str) -> Result<(), StoreError> {
        // One that is empty is about to be written, by a copy or by another process that creates it.
        if std::fs::metadata(&self.path).is_ok_and(|found| found.len() == 0) {
            return Err(self.unavailable(call, "was replaced by an empty file; waiting until that is a database"));
        }
        let (readers, former) = {
            let followed = self.followed();
            (followed.readers.clone(), followed.files.clone())
        };
        // While the connection holds the former files open, no other files can have their inodes. It may be gone, after an error of
        // the disk say.
        if let Some(former) = former {
            let aside = former.set_aside(&self.path, slot.connection.is_some());
            let aside = aside.map_err(|error| StoreError::Unavailable { call, source: error.into() })?;
            for aside in aside {
                tracing::warn!(aside = %aside.display(), "renamed what the former database file has left beside the path");
            }
        }
        self.followed().files = None;
        let _ = tokio::time::timeout(LAST_READS, readers.close()).await;
        if let Some(connection) = slot.connection.take() {
            let _ = connection.close().await;
        }
        slot.seen = slot.seen.map(|_| NEVER);
        let (mut connection, files) = open::existing(&self.path).await?;
        self.dismiss_own(&mut connection).await?;
        slot.connection = Some(connection);
        *self.followed() = Followed::new(open::readers(&self.path), files);
        tracing::warn!(file = %self.path.display(), "opened the database file that stands at the path now");
        Ok(())
    }

    /// Removes the workers of this process from the file at the path: it may be a copy of the former one, where their runs would
    /// wait for the end of their lease.
    async fn dismiss_own(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        const CALL: &str = "remove_worker";
        let own: Vec<_> = self.workers().elsewhere.iter().copied().collect();
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(sorted(CALL))?;
        for worker in own {
            workers::dismiss(&mut transaction, worker).await?;
        }
        transaction.commit().await.map_err(sorted(CALL))
    }

    /// A worker is registered in the present file.
    pub(super) fn has_registered(&self, worker: WorkerId) {
        self.workers().here.insert(worker);
    }

    /// A worker is gone.
    pub(super) fn has_gone(&self, worker: WorkerId) {
        self.workers().here.remove(&worker);
    }

    /// Checks that the worker was not registered in a former file.
    ///
    /// # Errors
    /// `LeaseLost` if it was.
    pub(super) fn check_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        if self.workers().elsewhere.contains(&worker) { Err(lost(worker)) } else { Ok(()) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use sqlx::{AssertSqlSafe, Connection, query, query_scalar};

    use crate::db::sqlite::open;
    use crate::store::StoreError;

    #[tokio::test]
    async fn what_is_committed_to_a_file_deleted_meanwhile_counts_as_without_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let writer = open::open(&path.display().to_string()).await.unwrap();
        let mut writing = writer.begin("test").await.unwrap();
        query("DELETE FROM forge_wf_runs").execute(writing.connection()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let answer = writing.finish(Ok(())).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
        writer.close().await;
    }

    #[tokio::test]
    async fn the_log_of_a_former_file_is_set_aside_also_while_the_writer_has_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let url = path.display().to_string();
        let writer = open::open(&url).await.unwrap();
        let copy = folder.path().join("copy.db");
        // Another program keeps the log from being deleted.
        let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
        query(AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()))).execute(&mut other).await.unwrap();
        let mut writing = writer.begin("test").await.unwrap();
        query("CREATE TABLE late (n INTEGER)").execute(writing.connection()).await.unwrap();
        writing.finish(Ok(())).await.unwrap();
        // What an error of the disk leaves behind.
        let connection = writer.slot.lock().await.connection.take();
        connection.unwrap().close().await.unwrap();
        std::fs::rename(&copy, &path).unwrap();

        let readers = writer.readers("test").await.unwrap();
        let late: i64 =
            query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'late'").fetch_one(&readers).await.unwrap();
        assert_eq!(late, 0, "the log of the former file is not part of this one");
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.filter(|name| name.to_string_lossy().contains(".replaced-")).count();
        assert_eq!(aside, 2, "the log and the index");
        writer.close().await;
    }
}
