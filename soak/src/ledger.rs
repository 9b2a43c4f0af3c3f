//! What happened, outside of the attacked database: one file for each process, appended and synced.
//!
//! A line is words with blanks between them, and begins with the time in microseconds since 1970 by this machine's clock, which
//! no fault moves.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static STEPS: OnceLock<Mutex<File>> = OnceLock::new();

/// Names the folder of all ledgers of this process.
pub fn set_folder(folder: &Path) {
    FOLDER.set(folder.to_owned()).expect("the folder is named once");
}

/// A ledger of this name, to be appended to.
pub fn open(name: &str) -> Mutex<File> {
    let folder = FOLDER.get().expect("the folder is named first");
    let file = OpenOptions::new().create(true).append(true).open(folder.join(name));
    Mutex::new(file.expect("a ledger that can be written"))
}

/// Appends a line; it is on the disk when this returns.
pub fn append(ledger: &Mutex<File>, words: &str) {
    let mut file = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(format!("{} {words}\n", now()).as_bytes()).expect("a ledger that can be written");
    file.sync_data().expect("a disk that keeps it");
}

/// Appends a line about a step of this process.
pub fn append_step(words: &str) {
    append(STEPS.get_or_init(|| open(&format!("steps.{}", std::process::id()))), words);
}

/// The lines of all ledgers whose names begin like this, in order of time: the time, and the words after it.
pub fn read(folder: &Path, prefix: &str) -> Vec<(i64, Vec<String>)> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of the ledgers").flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("a ledger that can be read");
        // A process that was killed may have left half a line.
        for line in text.lines() {
            let mut words = line.split(' ').map(str::to_owned);
            if let Some(at) = words.next().and_then(|at| at.parse().ok()) {
                lines.push((at, words.collect()));
            }
        }
    }
    lines.sort();
    lines
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}
