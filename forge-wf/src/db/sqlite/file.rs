//! Which file stands at a path, and which files SQLite keeps beside it.
//!
//! A path may lead to another file after a while: deleted, moved away, replaced by a copy. An open connection stays with the file
//! it has opened, so what it commits then goes where no other program looks. Nothing here opens the file or its index (`-shm`): closing
//! it again would take the locks away that SQLite holds on it in this process. SQLite locks nothing in the log (`-wal`).

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
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
    pub(super) main: FileId,
    wal: Option<Log>,
    shm: Option<FileId>,
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
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
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
        Ok(Some(Self { main, wal: Log::at(&beside(path, "-wal"))?, shm: FileId::at(&beside(path, "-shm"))? }))
    }

    /// Renames what these files have left beside `path`, where another database file stands now: SQLite would take the log of the
    /// former file for the log of the new one. Returns the new names. Files that belong to the new one stay; which index that is, is
    /// known if a connection of this process holds the former one (`held`), or by the log beside it.
    ///
    /// # Errors
    /// They are in use by another process that does the same now, or cannot be renamed.
    pub(super) fn set_aside(&self, path: &Path, held: bool) -> io::Result<Vec<PathBuf>> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Two processes that find the same must not take each other's new files for old ones.
        let lock = File::open(folder)?;
        #[cfg(unix)]
        lock.try_lock()?;
        let mut renamed = Vec::new();
        let now = chrono::Utc::now().timestamp_micros();
        for (suffix, old) in [("-wal", self.wal.as_ref().map(|log| log.id)), ("-shm", self.shm)] {
            let left = beside(path, suffix);
            let is_known = held || suffix == "-wal" || !renamed.is_empty();
            if is_known && old.is_some() && FileId::at(&left)? == old {
                let aside = beside(path, &format!("{suffix}.replaced-{now}"));
                std::fs::rename(&left, &aside)?;
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
