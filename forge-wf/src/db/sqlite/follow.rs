//! Follows the path: notices that another file stands there, or none, and moves the writer and the readers to it.
//!
//! Every call that reads or writes asks first which file stands at the path, which takes some microseconds. Of a file that was
//! deleted or moved away nothing is read or written any more, and none is created in its place. A file that stands there instead is
//! opened as it is. So is a file whose log or index was deleted; what its log holds is saved first, if nobody else has written to the
//! file since. What this process has registered as workers belongs to the former files: their lease is lost.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::error::{lost, sorted};
use super::file::{FileId, Files, Found};
use super::writer::{NEVER, Slot, Writer};
use super::{open, workers};
use crate::model::WorkerId;
use crate::store::StoreError;

/// How long reads that are under way on a former file may take to end.
const LAST_READS: Duration = Duration::from_secs(5);

const REPLACED: &str = "was replaced by another file";
const TORN: &str = "lost its log or its index (-wal, -shm) to another program";

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

impl Writer {
    pub(super) fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self) -> Found {
        match &mut self.followed().files {
            Some(files) => files.look(&self.path),
            None if FileId::at(&self.path).is_ok_and(|found| found.is_none()) => Found::Nothing,
            None => Found::Another,
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
                self.leave_file(REPLACED);
                Err(self.unavailable(call, REPLACED))
            }
            Found::Torn => {
                self.leave_file(TORN);
                Err(self.unavailable(call, TORN))
            }
        }
    }

    /// The readers of the file at the path.
    ///
    /// # Errors
    /// `Unavailable` while no file stands there, or while the one that stands there cannot be opened; `Closed` once the store is.
    pub(super) async fn readers(&self, call: &'static str) -> Result<SqlitePool, StoreError> {
        // Their pool alone does not tell: that of a former file is closed as well.
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed { call });
        }
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
            return Err(StoreError::Closed { call });
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
                self.leave_file(REPLACED);
                self.move_on(slot, call).await
            }
            Found::Torn => {
                self.leave_file(TORN);
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
        // While the connections hold the former files open, no other files can have their inodes.
        if let Some(former) = &former {
            let aside = former.set_aside(slot.connection.is_some() || slot.keeper.is_some());
            let aside = aside.map_err(|error| StoreError::Unavailable { call, source: error.into() })?;
            for aside in aside {
                tracing::warn!(aside = %aside.display(), "renamed what the former database file has left beside the path");
            }
        }
        self.followed().files = None;
        // The last connection that is closed copies the log into the file, unless that is the keeper.
        if former.as_ref().is_some_and(Files::may_be_completed) {
            close(&mut slot.keeper).await;
        }
        let closed = tokio::time::timeout(LAST_READS, readers.close()).await;
        close(&mut slot.connection).await;
        // A connection of this process that is still open would share the former index with the new connections to the same file.
        if closed.is_err() && former.is_none_or(|former| former.is_at(&self.path)) {
            return Err(self.unavailable(call, "is opened again as soon as the reads that are under way have ended"));
        }
        close(&mut slot.keeper).await;
        slot.seen = slot.seen.map(|_| NEVER);
        let (mut connection, keeper, files) = open::existing(&self.path).await?;
        self.dismiss_own(&mut connection).await?;
        (slot.connection, slot.keeper) = (Some(connection), Some(keeper));
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

/// Closes it, if it is open. What cannot be closed in order is closed by being dropped.
pub(super) async fn close(connection: &mut Option<SqliteConnection>) {
    if let Some(connection) = connection.take() {
        let _ = connection.close().await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use sqlx::{AssertSqlSafe, Connection, query, query_scalar};

    use crate::db::sqlite::open;
    use crate::db::sqlite::writer::Writer;
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

    /// A table in the file, which stays in the log until that is copied into the file.
    async fn create_table(writer: &Writer, name: &str) {
        let mut writing = writer.begin("test").await.unwrap();
        query(AssertSqlSafe(format!("CREATE TABLE {name} (n INTEGER)"))).execute(writing.connection()).await.unwrap();
        writing.finish(Ok(())).await.unwrap();
    }

    async fn tables(writer: &Writer) -> Vec<String> {
        let readers = writer.readers("test").await.unwrap();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'forge_wf%' AND name NOT LIKE 'sqlite%'";
        query_scalar(tables).fetch_all(&readers).await.unwrap()
    }

    async fn copy(path: &Path, to: &Path) {
        let mut other = sqlx::SqliteConnection::connect(&path.display().to_string()).await.unwrap();
        query(AssertSqlSafe(format!("VACUUM INTO '{}'", to.display()))).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    }

    async fn is_whole(path: &Path) -> bool {
        let mut other = sqlx::SqliteConnection::connect(&path.display().to_string()).await.unwrap();
        let said: String = query_scalar("PRAGMA integrity_check").fetch_one(&mut other).await.unwrap();
        other.close().await.unwrap();
        said == "ok"
    }

    #[tokio::test]
    async fn a_log_or_an_index_that_was_deleted_is_noticed_and_what_the_log_held_is_kept() {
        for deleted in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("runs.db");
            let writer = open::open(&path.display().to_string()).await.unwrap();
            create_table(&writer, "early").await;
            writer.readers("test").await.unwrap().acquire().await.unwrap();
            for suffix in deleted {
                std::fs::remove_file(folder.path().join(format!("runs.db{suffix}"))).unwrap();
            }
            // Whoever was about to commit hears that it may be lost.
            assert!(matches!(writer.stands("test"), Err(StoreError::Unavailable { .. })), "{deleted:?}");
            create_table(&writer, "late").await;
            assert_eq!(tables(&writer).await, ["early", "late"], "{deleted:?}");
            assert!(writer.stands("test").is_ok());
            writer.close().await;
            assert!(is_whole(&path).await, "{deleted:?}");
        }
    }

    #[tokio::test]
    async fn a_backup_that_was_copied_over_the_file_is_not_mixed_with_the_former_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let writer = open::open(&path.display().to_string()).await.unwrap();
        create_table(&writer, "early").await;
        let backup = folder.path().join("backup.db");
        copy(&path, &backup).await;
        for n in 0..20 {
            create_table(&writer, &format!("late_{n}")).await;
        }
        // By another process: this one would lose its locks on the file.
        let recipe = "rm runs.db-wal runs.db-shm && cp backup.db runs.db";
        let done = std::process::Command::new("sh").args(["-c", recipe]).current_dir(folder.path()).status().unwrap();
        assert!(done.success());
        assert_eq!(tables(&writer).await, ["early"]);
        create_table(&writer, "afterwards").await;
        writer.close().await;
        assert!(is_whole(&path).await);
    }

    #[tokio::test]
    async fn the_log_of_a_former_file_behind_a_link_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("runs.db"), folder.path().join("link.db"));
        std::os::unix::fs::symlink("runs.db", &link).unwrap();
        let writer = open::open(&link.display().to_string()).await.unwrap();
        let restored = folder.path().join("restored.db");
        copy(&path, &restored).await;
        create_table(&writer, "late").await;
        std::fs::rename(&restored, &path).unwrap();
        assert_eq!(tables(&writer).await, Vec::<String>::new(), "the log of the former file is not part of this one");
        // The link leads elsewhere; the file it led to keeps its log.
        create_table(&writer, "kept").await;
        let elsewhere = folder.path().join("elsewhere.db");
        copy(&path, &elsewhere).await;
        create_table(&writer, "kept_too").await;
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("elsewhere.db", &link).unwrap();
        assert_eq!(tables(&writer).await, ["kept"]);
        writer.close().await;
        let former = open::open(&path.display().to_string()).await.unwrap();
        assert_eq!(tables(&former).await, ["kept", "kept_too"]);
        former.close().await;
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
