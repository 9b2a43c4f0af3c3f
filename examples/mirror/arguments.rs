//! What the user asks for, and why it is refused.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::list;
use crate::paths::FilePath;
use crate::workflow::Plan;

/// Copies a folder so that every file is proven equal, and resumes where it was after a crash.
///
/// Every file is hashed on both sides; one that is in DEST already with the same hash is not written again. Permissions,
/// modification times and symbolic links are kept; owners and hard links are not. What is only in DEST is left alone.
/// Started again after it ended, it makes a new run; started again after it was killed, it resumes the old one.
#[derive(Parser)]
#[command(name = "mirror")]
pub struct Arguments {
    /// The folder to copy.
    source: PathBuf,
    /// The folder to copy into; made if it is not there.
    dest: PathBuf,
    /// Where to keep the journal, instead of `DEST/.mirror.db`: `sqlite:path` or `postgres://user@host/database`. Every
    /// mirror on the same database helps to finish the runs others left behind, so all must see the same folders.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Arguments {
    /// Checks both folders, makes DEST, and hands on what to do and in which database.
    pub fn check(self) -> Result<(Plan, String), String> {
        let source = self.source.canonicalize().map_err(told("SOURCE", &self.source))?;
        let dest = resolve(&self.dest).map_err(told("DEST", &self.dest))?;
        if !source.is_dir() {
            return Err(format!("SOURCE {} is not a folder", source.display()));
        }
        if dest.starts_with(&source) {
            return Err(format!(
                "DEST {} is inside SOURCE {}: the copy would copy itself; choose a folder outside",
                dest.display(),
                source.display()
            ));
        }
        if source.starts_with(&dest) {
            return Err(format!(
                "SOURCE {} is inside DEST {}: the copy could overwrite what it copies; choose another DEST",
                source.display(),
                dest.display()
            ));
        }
        let reserved = list::reserved(&source).map_err(told("SOURCE", &source))?;
        if let Some(name) = reserved.first() {
            return Err(format!(
                "SOURCE has {name} at its top: names that begin with {} are this program's own there; rename it, or copy a \
                 folder below",
                list::RESERVED
            ));
        }
        make(&dest, &source).map_err(told("DEST", &dest))?;
        let database = match self.database {
            Some(url) => url,
            None => match dest.to_str().filter(|path| !path.contains('?')) {
                Some(path) => format!("sqlite:{path}/.mirror.db"),
                None => {
                    return Err(format!(
                        "DEST {} has a name that cannot be part of a database URL; name a database with --database",
                        dest.display()
                    ));
                }
            },
        };
        Ok((Plan { source: FilePath::from(&*source), dest: FilePath::from(&*dest) }, database))
    }
}

/// The path without symbolic links, also of a folder that is not there yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        // A link to nowhere is there, and cannot become a folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            let path = std::path::absolute(path)?;
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(error) };
            Ok(resolve(parent)?.join(name))
        }
        answer => answer,
    }
}

/// Makes a folder that is not there; as private as the one it is to hold.
fn make(dest: &Path, source: &Path) -> io::Result<()> {
    if dest.is_dir() {
        return Ok(());
    }
    let mode = fs::metadata(source)?.mode() & 0o777 | 0o700;
    fs::DirBuilder::new().recursive(true).mode(mode).create(dest)
}

fn told(what: &str, path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{what} {} cannot be used: {error}", path.display())
}
