//! What the tests of `mirror` need: folders to copy, the program, and its journal as rows.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Said, count, program, said};

/// A SOURCE, a DEST, and the program that copies one to the other.
pub struct Mirror {
    pub source: PathBuf,
    pub dest: PathBuf,
    pub database: Option<String>,
    _folder: tempfile::TempDir,
}

impl Mirror {
    /// An empty SOURCE, and no DEST yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Temporary folders may be reached through a link, and the program tells real paths.
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("source")).unwrap();
        Self { source: root.join("source"), dest: root.join("dest"), database: None, _folder: folder }
    }

    /// A SOURCE with `files` small files in a few folders.
    pub fn with_files(files: usize) -> Self {
        let mirror = Self::new();
        for n in 0..files {
            mirror.write(format!("folder {}/file {n}", n % 5), format!("this is file {n}").as_bytes());
        }
        mirror
    }

    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(program("mirror"));
        command.arg(&self.source).arg(&self.dest).env_remove("RUST_LOG");
        if let Some(url) = &self.database {
            command.args(["--database", url]);
        }
        command
    }

    pub fn run(&self) -> Said {
        said(self.command().output().unwrap())
    }

    pub fn run_with(&self, variable: &str, value: &str) -> Said {
        said(self.command().env(variable, value).output().unwrap())
    }

    /// Starts it without waiting for its end.
    pub fn spawn(&self) -> Child {
        self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Fails unless DEST holds exactly what SOURCE holds, and the manifest tells all files.
    pub fn assert_equal(&self) {
        let (wanted, found) = (walk(&self.source), walk(&self.dest));
        for (path, thing) in &wanted {
            assert_eq!(Some(thing), found.get(path), "{}", path.display());
        }
        assert_eq!(wanted.len(), found.len(), "DEST holds more");
        let manifest = fs::read(self.dest.join(".mirror.manifest")).unwrap();
        let paths: Vec<&[u8]> = manifest
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| line.splitn(3, |byte| *byte == b' ').last().unwrap())
            .collect();
        assert!(paths.is_sorted(), "the manifest is not sorted");
        assert_eq!(paths.len(), wanted.values().filter(|thing| thing.is_file()).count());
        assert_eq!(self.own_files(), 2, "only the manifest and the database are left: {:?}", fs::read_dir(&self.dest));
    }

    /// Files of the program in DEST; those beside the database count as one with it.
    fn own_files(&self) -> usize {
        let names = fs::read_dir(&self.dest).unwrap().map(|entry| entry.unwrap().file_name());
        let own = names.filter(|name| {
            let name = name.as_bytes();
            name.starts_with(b".mirror") && !name.ends_with(b"-wal") && !name.ends_with(b"-shm")
        });
        own.count() + usize::from(self.database.is_some())
    }

    /// Entries of a step that have an outcome, of all runs; 0 while there is no journal.
    pub fn recorded(&self, step: &str) -> u64 {
        self.count(&format!("FROM JOURNAL WHERE key LIKE 'step:{step}' AND state <> 0"))
    }

    /// Entries of a step that completed, of all runs.
    pub fn completed(&self, step: &str) -> u64 {
        self.count(&format!("FROM JOURNAL WHERE key LIKE 'step:{step}' AND state = 1"))
    }

    pub fn runs(&self) -> u64 {
        self.count("FROM RUNS WHERE workflow = 'mirror'")
    }

    fn count(&self, from: &str) -> u64 {
        match &self.database {
            Some(url) => count(url, from),
            None => count(&format!("sqlite:{}/.mirror.db", self.dest.display()), from),
        }
    }
}

impl Said {
    /// Steps from the journal, and steps run now.
    pub fn steps(&self) -> (u64, u64) {
        let numbers: Vec<u64> = self.line("steps: ").split(' ').filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    }

    /// The id of the run, after `started run` or `resuming run`.
    pub fn run(&self, verb: &str) -> &str {
        self.line(&format!("{verb} run ")).split(' ').next().unwrap()
    }
}

/// Everything about a path that a copy is to keep.
#[derive(Debug, PartialEq)]
pub enum Thing {
    Folder { mode: u32, time: (i64, i64) },
    File { mode: u32, time: (i64, i64), bytes: Vec<u8> },
    Link { to: PathBuf, time: (i64, i64) },
}

impl Thing {
    fn is_file(&self) -> bool {
        !matches!(self, Self::Folder { .. })
    }
}

/// All below `root` but the program's own files; pipes are left out, as the program does.
fn walk(root: &Path) -> BTreeMap<PathBuf, Thing> {
    let mut things = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_path_buf();
            if below.as_os_str().as_bytes().starts_with(b".mirror") {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            let (mode, time) = (meta.mode() & 0o7777, (meta.mtime(), meta.mtime_nsec()));
            let thing = if meta.is_dir() {
                folders.push(path);
                Thing::Folder { mode, time }
            } else if meta.is_symlink() {
                Thing::Link { to: fs::read_link(&path).unwrap(), time }
            } else if meta.is_file() {
                Thing::File { mode, time, bytes: fs::read(&path).unwrap() }
            } else {
                continue;
            };
            things.insert(below, thing);
        }
    }
    things
}

/// One of everything that is easily lost in a copy.
pub fn everything(mirror: &Mirror) {
    let old = |path: &Path, seconds| {
        let time = std::time::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    };
    mirror.write("empty", b"");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    old(&mirror.write("a/large", &large), 1_000_000_000);
    mirror.write("a.txt", b"sorts between a and a/large");
    mirror.write("naïve/日本語/🦀.txt", "ünïcode".as_bytes());
    mirror.write("100%/50%41 \"quoted\" \\ back", b"percent");
    mirror.write("line\nbreak", b"control");
    mirror.write(OsStr::from_bytes(b"not \xff\xfe UTF-8/\x80"), b"any bytes");
    mirror.write("a/.mirror.tmp-of-the-user", b"reserved at the top only");
    let read_only = mirror.write("read-only", b"mode 444");
    fs::set_permissions(&read_only, Permissions::from_mode(0o444)).unwrap();
    let script = mirror.write("bin/script", b"#!/bin/sh");
    fs::set_permissions(&script, Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir_all(mirror.source.join("empty folder/deeper")).unwrap();
    symlink("a/large", mirror.source.join("link to a file")).unwrap();
    symlink("/nowhere/at all", mirror.source.join("broken link")).unwrap();
    symlink("naïve", mirror.source.join("link to a folder")).unwrap();
    let closed = mirror.source.join("read-only folder");
    mirror.write("read-only folder/inside", b"still copied");
    old(&closed, 86_400);
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
}

/// Lets the temporary folder be removed again.
pub fn open_again(mirror: &Mirror) {
    for folder in [&mirror.source, &mirror.dest] {
        fs::set_permissions(folder.join("read-only folder"), Permissions::from_mode(0o755)).unwrap();
    }
}
