//! Lists a folder and all below it in pages, in the order of the paths' bytes.
//!
//! Takes the last path of the page before; hands on at most [`NAMES_MAX`] paths after it. A page needs nothing from the
//! ones before it, so a listing survives its process, and keeps no more than a page of names in memory at a level.

use std::collections::BinaryHeap;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::paths::FilePath;

/// Names on a page at the most.
pub const NAMES_MAX: usize = 1_000;
/// Text of paths on a page at the most (and one path over), far below what the journal takes.
const TEXT_BYTES_MAX: usize = 512 * 1024;
/// Smallest names kept of a folder: a page, one to know that it is full, and the folder the cursor is in.
const KEEP: usize = NAMES_MAX + 2;
/// Names that begin so, at the top of both folders, belong to this program.
pub const RESERVED: &str = ".mirror";

/// What is wrong with one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, below SOURCE.
    pub path: FilePath,
    /// What, in a sentence.
    pub what: String,
}

/// Part of a listing, sorted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Page {
    /// Folders, each before what is in it. The bytes end in `/`.
    pub folders: Vec<FilePath>,
    /// Files and symbolic links.
    pub files: Vec<FilePath>,
    /// Pipes, sockets and devices.
    pub specials: Vec<FilePath>,
    /// What could not be listed.
    pub problems: Vec<Problem>,
    /// Where the next page goes on; `None` if this is the last one.
    pub next: Option<FilePath>,
}

/// Up to [`NAMES_MAX`] paths below `root` that come after `after` (empty: from the start).
pub fn page(root: &Path, after: &FilePath) -> Page {
    let mut walk = Walk { root, after: after.bytes(), last: Vec::new(), names: 0, text: 0, page: Page::default() };
    if walk.folder(b"").is_break() {
        walk.page.next = Some(FilePath::of(walk.last));
    }
    walk.page
}

/// Names at the top of `root` that begin like those of this program.
pub fn reserved(root: &Path) -> io::Result<Vec<FilePath>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        if name.as_bytes().starts_with(RESERVED.as_bytes()) {
            found.push(FilePath::of(name.as_bytes()));
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Folder,
    File,
    Special,
}

struct Walk<'w> {
    root: &'w Path,
    after: &'w [u8],
    last: Vec<u8>,
    names: usize,
    text: usize,
    page: Page,
}

impl Walk<'_> {
    /// Takes what is in the folder `prefix` (which ends in `/` unless it is the top); breaks when the page is full.
    fn folder(&mut self, prefix: &[u8]) -> ControlFlow<()> {
        let found = match self.smallest(prefix) {
            Ok(found) => found,
            Err(error) => {
                self.problem(prefix, format!("this folder cannot be listed: {error}"));
                return ControlFlow::Continue(());
            }
        };
        for (path, kind) in found {
            if *path > *self.after {
                self.take(&path, kind)?;
            }
            if kind == Kind::Folder {
                self.folder(&path)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The smallest paths of a folder that come after the cursor, sorted, and the one that leads to the cursor.
    ///
    /// A folder's path ends in `/` also for the order, so that sorting each folder sorts the whole listing.
    fn smallest(&mut self, prefix: &[u8]) -> io::Result<Vec<(Vec<u8>, Kind)>> {
        let mut smallest = BinaryHeap::new();
        for entry in std::fs::read_dir(self.root.join(FilePath::of(prefix).as_path()))? {
            let entry = entry?;
            let mut path = [prefix, entry.file_name().as_bytes()].concat();
            if path.starts_with(RESERVED.as_bytes()) {
                self.problem(&path, "names that begin with .mirror at the top belong to this program".into());
                continue;
            }
            let kind = match entry.file_type()? {
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_file() || kind.is_symlink() => Kind::File,
                _ => Kind::Special,
            };
            if kind == Kind::Folder {
                path.push(b'/');
            }
            if *path > *self.after || (kind == Kind::Folder && self.after.starts_with(&path)) {
                smallest.push((path, kind));
            }
            if smallest.len() > KEEP {
                smallest.pop();
            }
        }
        Ok(smallest.into_sorted_vec())
    }

    fn take(&mut self, path: &[u8], kind: Kind) -> ControlFlow<()> {
        if self.names == NAMES_MAX || self.text >= TEXT_BYTES_MAX {
            return ControlFlow::Break(());
        }
        let path = FilePath::of(path);
        self.names += 1;
        self.text += path.to_string().len();
        self.last = path.bytes().to_vec();
        match kind {
            Kind::Folder => self.page.folders.push(path),
            Kind::File => self.page.files.push(path),
            Kind::Special => self.page.specials.push(path),
        }
        ControlFlow::Continue(())
    }

    fn problem(&mut self, path: &[u8], what: String) {
        // A page passes again through the folders that lead to where it begins.
        if path.is_empty() || path != self.after {
            self.page.problems.push(Problem { path: FilePath::of(path), what });
        }
    }
}
