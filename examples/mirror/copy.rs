//! Copies one file so that it is either not there or whole, and proves it by hashes.
//!
//! Takes a path below SOURCE; leaves a file below DEST with the same bytes, permissions and modification time, synced to
//! disk. Reads in pieces, so its memory does not grow with the file. It blocks its thread.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use filetime::FileTime;
use forge_wf::{Failure, Result};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::paths::FilePath;
use crate::progress::Watch;
use crate::workflow::Plan;

/// Temporary files at the top of DEST begin so.
pub const TEMPORARY: &str = ".mirror.tmp-";
const PIECE_BYTES: usize = 128 * 1024;

/// How a file came to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It was copied.
    Copied,
    /// It was there already, with the same hash.
    Equal,
}

/// One file, proven equal on both sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Copied {
    /// How it came to be.
    pub how: How,
    /// The blake3 hash of its bytes; of a symbolic link, of the path it holds.
    pub hash: String,
    /// Its size.
    pub bytes: u64,
}

/// Makes DEST hold the same file or link at `path` as SOURCE.
pub fn copy(plan: &Plan, path: &FilePath, watch: &Watch) -> Result<Copied> {
    let from = plan.source.as_path().join(path.as_path());
    let to = plan.dest.as_path().join(path.as_path());
    let parent = to.parent().unwrap_or(&to);
    let real = parent.canonicalize().map_err(failed("the folder it goes to cannot be used"))?;
    if real != parent {
        return Err(Failure::permanent("the folder it goes to is reached through a symbolic link in DEST"));
    }
    let seen = fs::symlink_metadata(&from).map_err(failed("cannot be read"))?;
    if seen.is_symlink() {
        copy_link(plan, &from, &to, &seen)
    } else if seen.is_file() {
        copy_file(plan, &from, &to, &seen, watch)
    } else {
        Err(Failure::permanent("was a file when it was listed, and is something else now"))
    }
}

fn copy_file(plan: &Plan, from: &Path, to: &Path, seen: &Metadata, watch: &Watch) -> Result<Copied> {
    if let Some(copied) = already_equal(from, to, seen, watch)? {
        return Ok(copied);
    }
    let mut source = File::open(from).map_err(failed("cannot be read"))?;
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(plan.dest.as_path())
        .map_err(failed("DEST takes no new file"))?;
    let (read, bytes) = hash(&mut source, watch, |piece| temporary.write_all(piece))?;
    let file = temporary.as_file_mut();
    file.rewind().map_err(failed("its copy cannot be read back"))?;
    let (written, _) = hash(file, &watch.quiet(), |_| Ok(()))?;
    if read != written {
        return Err(Failure::new("its copy, read back, has other bytes than were read"));
    }
    dress(file, seen).and_then(|()| file.sync_all()).map_err(failed("its copy cannot be completed"))?;
    let now = fs::symlink_metadata(from).map_err(failed("vanished while it was copied"))?;
    if (now.len(), now.mtime(), now.mtime_nsec(), now.ino())
        != (seen.len(), seen.mtime(), seen.mtime_nsec(), seen.ino())
    {
        return Err(Failure::new("changed while it was copied"));
    }
    watch.check()?;
    put(temporary, to)?;
    Ok(Copied { how: How::Copied, hash: read.to_string(), bytes })
}

/// The same bytes are not written twice: sizes first, which cost nothing, then both hashes.
fn already_equal(from: &Path, to: &Path, seen: &Metadata, watch: &Watch) -> Result<Option<Copied>> {
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_file() && there.len() == seen.len() => {
            // What cannot be read is replaced.
            let Ok(mut there_file) = File::open(to) else { return Ok(None) };
            let mut source = File::open(from).map_err(failed("cannot be read"))?;
            let (wanted, bytes) = hash(&mut source, &watch.quiet(), |_| Ok(()))?;
            let (found, _) = hash(&mut there_file, &watch.quiet(), |_| Ok(()))?;
            if wanted != found {
                return Ok(None);
            }
            let same_dress = there.permissions() == seen.permissions()
                && FileTime::from_last_modification_time(&there) == FileTime::from_last_modification_time(seen);
            if !same_dress {
                dress(&there_file, seen)
                    .and_then(|()| there_file.sync_all())
                    .map_err(failed("its permissions and time cannot be set"))?;
            }
            watch.add(bytes);
            Ok(Some(Copied { how: How::Equal, hash: wanted.to_string(), bytes }))
        }
        Ok(there) if there.is_dir() => Err(Failure::permanent("DEST has a folder of that name; move it away")),
        _ => Ok(None),
    }
}

fn copy_link(plan: &Plan, from: &Path, to: &Path, seen: &Metadata) -> Result<Copied> {
    let target = fs::read_link(from).map_err(failed("this link cannot be read"))?;
    let hash = blake3::hash(target.as_os_str().as_bytes()).to_string();
    let bytes = target.as_os_str().len() as u64;
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => {
            return Err(Failure::permanent("DEST has a folder of that name; move it away"));
        }
        Ok(there) if there.is_symlink() && fs::read_link(to).is_ok_and(|there| there == target) => {
            return Ok(Copied { how: How::Equal, hash, bytes });
        }
        _ => {}
    }
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .make_in(plan.dest.as_path(), |path| symlink(&target, path))
        .map_err(failed("DEST takes no new link"))?;
    let time = FileTime::from_last_modification_time(seen);
    filetime::set_symlink_file_times(temporary.path(), time, time).map_err(failed("its time cannot be set"))?;
    put(temporary, to)?;
    Ok(Copied { how: How::Copied, hash, bytes })
}

/// Gives a temporary file its name, durably.
pub fn put<F>(temporary: NamedTempFile<F>, to: &Path) -> Result<()> {
    temporary.persist(to).map_err(|error| failed("its copy cannot be renamed into place")(error.error))?;
    sync_folder(to.parent().unwrap_or(to)).map_err(failed("the folder it went to cannot be synced"))
}

/// Makes new names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Permissions and modification time.
fn dress(file: &File, like: &Metadata) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    filetime::set_file_handle_times(file, None, Some(FileTime::from_last_modification_time(like)))
}

fn hash(file: &mut File, watch: &Watch, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(blake3::Hash, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        watch.check()?;
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok((hasher.finalize(), bytes)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("cannot be read")(error)),
        };
        hasher.update(&piece[..read]);
        each(&piece[..read]).map_err(failed("its copy cannot be written"))?;
        bytes += read as u64;
        watch.add(read as u64);
    }
}

/// Says what was being done when the system refused.
pub fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}
