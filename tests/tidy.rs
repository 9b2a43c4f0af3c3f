//! The house is in order: files are readable, SQL stays in its room. `imports` looks at who uses whom.

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

pub fn sources() -> Vec<(String, String)> {
    let root = repository().join("forge-wf/src");
    let mut paths = Vec::new();
    files_below(&root, "rs", &mut paths);
    assert!(paths.len() > 30, "the sources were found");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(path).expect("a readable source"))
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn sqlx_lives_in_db_only() {
    let outside: Vec<_> = sources()
        .into_iter()
        .filter(|(file, text)| !file.starts_with("db/") && text.contains("sqlx::"))
        .map(|(file, _)| file)
        .collect();
    assert!(outside.is_empty(), "sqlx is used outside db: {}", outside.join(", "));
}

#[test]
fn every_file_is_short_enough_to_read_and_says_its_job() {
    for (file, text) in sources() {
        assert!(text.lines().count() <= 500, "{file} has {} lines; what are its two jobs?", text.lines().count());
        // The crate's front page is the README.
        assert!(text.starts_with("//! ") || text.starts_with("#![doc = "), "{file} does not open with its job");
    }
}

#[test]
fn every_statement_opens_with_its_contract() {
    let mut paths = Vec::new();
    files_below(&repository().join("forge-wf/src/db"), "sql", &mut paths);
    assert!(paths.len() > 20, "the statements were found");
    for path in paths {
        let text = fs::read_to_string(&path).expect("a readable statement");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // Parts that are put together into one statement live in a folder of its name, and share their first words.
        let first = name.split('_').next().unwrap_or_default();
        let opens = |words: &str| text.starts_with(&format!("-- {words}: "));
        let part = path.parent().and_then(|folder| folder.file_name()).is_some_and(|folder| folder != "sql");
        let named = opens(&name) || (part && (opens(first) || name == "fence"));
        assert!(named, "{} does not open with `-- {name}: ..`", path.display());
    }
}
