//! Reads `forge-wf.lock`: what runs in flight rely on, as the last deploy had it.
//!
//! Takes what cargo says of what it compiles; hands on the entry of one version of a workflow. Writing the file is the library's
//! affair, since only the compiled program knows what types look like.

use std::path::Path;

use toml::{Table, Value};

/// The file's name, beside `Cargo.toml`.
pub(crate) const NAME: &str = "forge-wf.lock";
/// The number of the format that is read here.
const FORMAT: i64 = 1;

/// What cargo compiles.
pub(crate) struct Unit {
    pub(crate) package: String,
    /// As lock files name it.
    pub(crate) target: String,
    pub(crate) crate_name: String,
}

/// What cargo compiles right now; all empty where it is not cargo that compiles.
pub(crate) fn unit() -> Unit {
    let var = |name| std::env::var(name).unwrap_or_default();
    let crate_name = var("CARGO_CRATE_NAME");
    let target = target(&crate_name, &var("CARGO_BIN_NAME"), !var("CARGO_TARGET_TMPDIR").is_empty());
    Unit { package: var("CARGO_PKG_NAME"), target, crate_name }
}

/// Binaries and examples are told to be such by the first variable, tests and benches by the second. The library has the same
/// rule, `macro_support/lock.rs`.
fn target(crate_name: &str, bin_name: &str, has_tmpdir: bool) -> String {
    match (bin_name, has_tmpdir) {
        ("", false) => String::from("lib"),
        ("", true) => format!("test {crate_name}"),
        (bin, _) => format!("bin {bin}"),
    }
}

/// A version of a workflow as the file has it.
#[derive(Debug, PartialEq)]
pub(crate) struct Locked {
    pub(crate) algorithm: i16,
    pub(crate) signature: u128,
    pub(crate) parts: Vec<LockedPart>,
}

/// One thing that its runs rely on.
#[derive(Debug, PartialEq)]
pub(crate) struct LockedPart {
    /// As `PartKind` of the library names it.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) digest: u64,
}

/// What there is to read.
#[derive(Debug, PartialEq)]
pub(crate) enum Lock {
    /// No file.
    None,
    /// A file, and what it says of this version, if anything.
    Of(Option<Locked>),
    /// A file that cannot be read, in words.
    Unusable(String),
}

/// What the file says of this version.
pub(crate) fn find(unit: &Unit, name: &str, version: &str) -> Lock {
    let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") else { return Lock::None };
    match std::fs::read_to_string(Path::new(&folder).join(NAME)) {
        Ok(text) => match read(&text, &unit.target, name, version) {
            Ok(locked) => Lock::Of(locked),
            Err(why) => Lock::Unusable(format!("{NAME} cannot be read: {why}")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Lock::None,
        Err(error) => Lock::Unusable(format!("{NAME} cannot be read: {error}")),
    }
}

fn read(text: &str, target: &str, name: &str, version: &str) -> Result<Option<Locked>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    match table.get("format").and_then(Value::as_integer) {
        Some(FORMAT) => {}
        other => {
            let found = other.map_or_else(|| String::from("no format"), |format| format!("format {format}"));
            return Err(format!("it has {found}, and this version of forge-wf knows format {FORMAT}"));
        }
    }
    let entries = table.get("workflow").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    let is = |entry: &&Table, key: &str, wanted: &str| entry.get(key).and_then(Value::as_str) == Some(wanted);
    let entry =
        entries.into_iter().find(|it| is(it, "target", target) && is(it, "name", name) && is(it, "version", version));
    entry
        .map(|entry| locked(entry).ok_or_else(|| format!("what it says of {name} version {version} is not a contract")))
        .transpose()
}

fn locked(entry: &Table) -> Option<Locked> {
    let (algorithm, signature) = entry.get("signature")?.as_str()?.split_once(':')?;
    let mut parts = Vec::new();
    for (key, kind) in [("input", "Input"), ("output", "Output"), ("compensation", "Compensation")] {
        if let Some(line) = entry.get(key) {
            let line = line.as_str()?;
            let (name, line) = match key {
                "compensation" => line.split_at(line.find(['(', ' ']).unwrap_or(line.len())),
                _ => ("", line),
            };
            parts.push(part(kind, name, line));
        }
    }
    for (key, kind) in [("steps", "Step"), ("helpers", "Helper"), ("events", "Event"), ("children", "Child")] {
        if let Some(lines) = entry.get(key) {
            for (name, line) in lines.as_table()? {
                parts.push(part(kind, name, line.as_str()?));
            }
        }
    }
    let signature = u128::from_str_radix(signature, 16).ok()?;
    Some(Locked { algorithm: algorithm.parse().ok()?, signature, parts })
}

/// A line is the words and, after a `#`, the first half of the digest.
fn part(kind: &'static str, name: &str, line: &str) -> LockedPart {
    let (text, digest) = line.rsplit_once('#').unwrap_or((line, ""));
    let digest = u64::from_str_radix(digest, 16).unwrap_or_default();
    LockedPart { kind, name: name.into(), text: text.trim_end().into(), digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
format = 1

[[workflow]]
target = "bin shop"
name = "checkout"
version = "1"
signature = "1:000000000000000000000000000000ff"
input = "Order #0000000000000001"
output = "() #0000000000000002"
compensation = "refund(output.id) #0000000000000003"

[workflow.steps]
charge = "(cents: u64) -> Receipt, undone by refund(output.id) #00000000000000a0"
"#;

    #[test]
    fn a_version_is_found_by_its_target() {
        let found = read(FILE, "bin shop", "checkout", "1").unwrap().unwrap();
        assert_eq!((found.algorithm, found.signature), (1, 255));
        let words: Vec<_> = found.parts.iter().map(|part| (part.kind, &*part.name, &*part.text, part.digest)).collect();
        assert_eq!(
            words,
            [
                ("Input", "", "Order", 1),
                ("Output", "", "()", 2),
                ("Compensation", "refund", "(output.id)", 3),
                ("Step", "charge", "(cents: u64) -> Receipt, undone by refund(output.id)", 160),
            ]
        );
        assert_eq!(read(FILE, "lib", "checkout", "1"), Ok(None));
        assert_eq!(read(FILE, "bin shop", "checkout", "2"), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(read("", "lib", "checkout", "1"), Ok(None), "it was not written yet");
        assert!(read("<<<<<<< HEAD", "lib", "checkout", "1").is_err());
        let newer = FILE.replace("format = 1", "format = 2");
        assert!(read(&newer, "lib", "checkout", "1").unwrap_err().contains("has format 2, and this version"));
        let torn = FILE.replace("1:0000", "one");
        assert!(read(&torn, "bin shop", "checkout", "1").unwrap_err().contains("checkout version 1 is not a contract"));
    }

    #[test]
    fn targets_are_named_by_what_cargo_says_of_them() {
        assert_eq!(target("shop", "", false), "lib");
        assert_eq!(target("rolling", "", true), "test rolling");
        assert_eq!(target("shop_admin", "shop-admin", false), "bin shop-admin");
    }
}
