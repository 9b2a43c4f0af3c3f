//! Which file stands at a path, and which files SQLite keeps beside it.
//!
//! A path may lead to another file after a while: deleted, moved away, replaced by a copy. An open connection stays with the file
//! it has opened, so what it commits then goes where no other program looks. Nothing here opens the file: closing it again would
//! take the locks away that SQLite holds on it in this process.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Files {
    pub(super) main: FileId,
    wal: Option<FileId>,
    shm: Option<FileId>,
}

impl Files {
    /// The files at `path`; `None` if there is no database file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let beside = |suffix| FileId::at(&beside(path, suffix));
        let Some(main) = FileId::at(path)? else { return Ok(None) };
        Ok(Some(Self { main, wal: beside("-wal")?, shm: beside("-shm")? }))
    }

    /// Renames what these files have left beside `path`, where another database file stands now: SQLite would take the log of the
    /// former file for the log of the new one. Returns the new names. Files that belong to the new one stay.
    ///
    /// # Errors
    /// They are in use by another process that does the same now, or cannot be renamed.
    pub(super) fn set_aside(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Two processes that find the same must not take each other's new files for old ones.
        let lock = std::fs::File::open(folder)?;
        #[cfg(unix)]
        lock.try_lock()?;
        let mut renamed = Vec::new();
        let now = chrono::Utc::now().timestamp_micros();
        for (suffix, old) in [("-wal", self.wal), ("-shm", self.shm)] {
            let left = beside(path, suffix);
            if old.is_some() && FileId::at(&left)? == old {
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
