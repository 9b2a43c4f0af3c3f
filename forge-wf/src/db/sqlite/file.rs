//! Which file stands at a path, and which files SQLite keeps beside it.
//!
//! A path may lead to another file after a while: deleted, moved away, replaced by a copy. An open connection stays with the file
//! it has opened, so what it commits then goes where no other program looks. Nothing here opens the file or its index (`-shm`): closing
//! it again would take the locks away that SQLite holds on it in this process. SQLite locks nothing in the log (`-wal`).

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The identity of a file: its device and its inode, which no other file has while any process holds it open.
///
/// On systems other than Unix every file has the same identity, so only a file that is gone is noticed. Windows lets no program
/// delete or replace a file that SQLite has open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileId(u64, u64);

impl FileId {
    /// The file at `path`, links followed; `None` if there is none.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Some(Self::of(&found))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn of(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(found.dev(), found.ino())
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self(0, 0)
    }
}

/// The database file at a path with its `-wal` and its `-shm`.
#[derive(Clone, Debug)]
pub(super) struct Files {
    main: FileId,
    /// Where it stands, links followed: SQLite names the other two after that.
    real: PathBuf,
    /// When it was last written, as far as was looked.
    written: Option<SystemTime>,
    wal: Option<Log>,
    shm: Option<FileId>,
    wal_path: PathBuf,
    shm_path: PathBuf,
}

/// What stands where a database file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The same file, with the same log and index.
    Same,
    /// The same file, but its log or its index was deleted or replaced. While a connection is open SQLite does neither: what is
    /// committed goes to a log that no other program reads.
    Torn,
    /// Another file.
    Another,
    /// No file.
    Nothing,
}

/// The log of a database file. It is held open, so that no other file has its inode: while the writer has no connection, nobody else
/// may hold it.
#[derive(Clone, Debug)]
struct Log {
    id: FileId,
    _held: Option<Arc<File>>,
}

impl Log {
    #[cfg(unix)]
    fn at(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { id: FileId::of(&file.metadata()?), _held: Some(Arc::new(file)) })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(not(unix))]
    fn at(path: &Path) -> io::Result<Option<Self>> {
        Ok(FileId::at(path)?.map(|id| Self { id, _held: None }))
    }
}

impl Files {
    /// The files at `path`; `None` if there is no database file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let Some(main) = FileId::at(path)? else { return Ok(None) };
        let real = std::fs::canonicalize(path)?;
        let (wal_path, shm_path) = (beside(&real, "-wal"), beside(&real, "-shm"));
        let (wal, shm) = (Log::at(&wal_path)?, FileId::at(&shm_path)?);
        Ok(Some(Self { main, written: written(&real), real, wal, shm, wal_path, shm_path }))
    }

    /// What stands at `path`, where these files stood. What cannot be found out for the moment counts as unchanged.
    pub(super) fn look(&mut self, path: &Path) -> Found {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Found::Nothing,
            Err(_) => return Found::Same,
        };
        if FileId::of(&found) != self.main {
            return Found::Another;
        }
        let stands =
            |path: &Path, known: Option<FileId>| known.is_none() || FileId::at(path).map_or(true, |it| it == known);
        if !stands(&self.wal_path, self.wal_id()) || !stands(&self.shm_path, self.shm) {
            return Found::Torn;
        }
        self.written = found.modified().ok();
        Found::Same
    }

    /// Whether this is the database file.
    pub(super) fn is(&self, main: FileId) -> bool {
        self.main == main
    }

    /// Whether this very file stands at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        FileId::at(path).is_ok_and(|found| found == Some(self.main))
    }

    /// Whether what stands in the log still belongs into the file: nobody else has written to that, and no other log stands beside it.
    pub(super) fn may_be_completed(&self) -> bool {
        let wal = FileId::at(&self.wal_path);
        self.is_at(&self.real)
            && written(&self.real) == self.written
            && wal.is_ok_and(|found| found.is_none() || found == self.wal_id())
    }

    fn wal_id(&self) -> Option<FileId> {
        self.wal.as_ref().map(|log| log.id)
    }

    /// Renames what these files have left beside the place where they stood, if another database file stands there now: SQLite would take
    /// the log of the former file for the log of the new one. Returns the new names. Files that belong to the new one stay; which index that is, is
    /// known if a connection of this process holds the former one (`held`), or by the log beside it.
    ///
    /// # Errors
    /// They are in use by another process that does the same now, or cannot be renamed.
    pub(super) fn set_aside(&self, held: bool) -> io::Result<Vec<PathBuf>> {
        // A link leads elsewhere now, or only the log is another.
        if self.is_at(&self.real) {
            return Ok(Vec::new());
        }
        let folder = self.real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Two processes that find the same must not take each other's new files for old ones.
        let lock = File::open(folder)?;
        #[cfg(unix)]
        lock.try_lock()?;
        let mut renamed = Vec::new();
        let now = chrono::Utc::now().timestamp_micros();
        for (left, old, is_log) in [(&self.wal_path, self.wal_id(), true), (&self.shm_path, self.shm, false)] {
            let is_known = held || is_log || !renamed.is_empty();
            if is_known && old.is_some() && FileId::at(left)? == old {
                let aside = beside(left, &format!(".replaced-{now}"));
                std::fs::rename(left, &aside)?;
                renamed.push(aside);
            }
        }
        drop(lock);
        Ok(renamed)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
