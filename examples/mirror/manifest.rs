//! Writes `DEST/.mirror.manifest`: a line for each file with its hash, size and path, sorted by path.
//!
//! It may be far larger than what the journal takes, so each page of the listing writes a part, and the last step joins
//! the parts. Pages are sorted, hence so is what they make.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use forge_wf::{Result, RunId};
use serde::{Deserialize, Serialize};

use crate::copy::{TEMPORARY, failed, put, sync_folder};
use crate::paths::FilePath;

/// Its name at the top of DEST.
pub const NAME: &str = ".mirror.manifest";
const PART: &str = ".mirror.part-";

/// What it says of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The blake3 hash.
    pub hash: String,
    /// The size.
    pub bytes: u64,
    /// Where, below both folders.
    pub path: FilePath,
}

/// Writes part `number`.
pub fn write_part(dest: &Path, run: RunId, number: u64, lines: &[Line]) -> Result<()> {
    write(dest, &part(dest, run, number), |to| {
        lines.iter().try_for_each(|Line { hash, bytes, path }| writeln!(to, "{hash} {bytes} {path}"))
    })
}

/// Joins the parts `0..parts` to the manifest. Run again after it was interrupted, it does no more than is left to do.
pub fn seal(dest: &Path, run: RunId, parts: u64) -> Result<()> {
    // The first part goes first, so while it is there all of them are.
    let first = part(dest, run, 0);
    if parts == 0 || fs::exists(&first).map_err(failed("the parts of the manifest cannot be read"))? {
        write(dest, &dest.join(NAME), |to| {
            (0..parts).try_for_each(|number| io::copy(&mut File::open(part(dest, run, number))?, to).map(drop))
        })?;
    }
    let removed = remove(first).and_then(|()| sync_folder(dest));
    removed
        .and_then(|()| (1..parts).try_for_each(|number| remove(part(dest, run, number))))
        .map_err(failed("a part of the manifest cannot be removed"))?;
    sweep(dest).map_err(failed("a temporary file cannot be removed"))
}

fn part(dest: &Path, run: RunId, number: u64) -> PathBuf {
    dest.join(format!("{PART}{run}-{number}"))
}

/// Writes a file so that it is either as it was or whole.
fn write(dest: &Path, to: &Path, lines: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let temporary =
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dest).map_err(failed("DEST takes no new file"))?;
    let mut buffer = BufWriter::new(temporary.as_file());
    lines(&mut buffer)
        .and_then(|()| buffer.flush())
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(failed("the manifest cannot be written"))?;
    drop(buffer);
    put(temporary, to)
}

/// Removes what processes that were killed have left.
fn sweep(dest: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dest)? {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes()) {
            remove(entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
