//! `forge-wf.lock`: what the runs in flight of each workflow version rely on, checked in beside `Cargo.toml`.
//!
//! The macros read it while compiling, and refuse a contract that is another one. Whether all of it is there, and nothing else, only
//! the finished program can say: [`assert_lock!`](crate::contract::assert_lock) compares, and writes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::digest;
use super::parts::{Contract, LockedPart, Part, PartKind, count, difference, differences, nth};
use crate::model::Digest;

/// The file's name.
pub const NAME: &str = "forge-wf.lock";
/// The variable that has it written.
pub const BLESS: &str = "FORGE_WF_BLESS";
/// The number of its format; a later one is refused.
const FORMAT: u32 = 1;

const HEADER: &str = "\
# What runs in flight rely on, for each version of each workflow. Check it in: forge-wf reads it while compiling, and refuses
# code that breaks it. It is written by `FORGE_WF_BLESS=1 cargo test`, where a test calls `forge_wf::contract::assert_lock!()`.

";

#[derive(Serialize, Deserialize)]
struct Lock {
    format: u32,
    #[serde(default, rename = "workflow")]
    workflows: Vec<Entry>,
}

/// A version of a workflow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    target: String,
    name: String,
    version: String,
    /// The number of the algorithm, a colon, and the digest.
    signature: String,
    input: String,
    output: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compensation: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    steps: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    helpers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    events: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    children: BTreeMap<String, String>,
}

/// A version of a workflow that this program has.
#[derive(Clone, Copy)]
pub struct Version {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its signature.
    pub signature: Digest,
    /// What that is made of.
    pub contract: Contract,
}

impl Version {
    fn entry(&self) -> Entry {
        let mut entry = Entry {
            target: self.contract.target.into(),
            name: self.name.into(),
            version: self.version.into(),
            signature: format!("{}:{}", digest::ALGORITHM, self.signature),
            input: String::new(),
            output: String::new(),
            compensation: None,
            steps: BTreeMap::new(),
            helpers: BTreeMap::new(),
            events: BTreeMap::new(),
            children: BTreeMap::new(),
        };
        for n in 0..count(self.contract.parts) {
            let part = nth(self.contract.parts, n);
            let (name, line) = (part.name.to_owned(), line(part));
            match part.kind {
                PartKind::Input => entry.input = line,
                PartKind::Output => entry.output = line,
                PartKind::Compensation => {
                    entry.compensation = Some(name + if part.text.is_empty() { " " } else { "" } + &line)
                }
                PartKind::Step => drop(entry.steps.insert(name, line)),
                PartKind::Helper => drop(entry.helpers.insert(name, line)),
                PartKind::Event => drop(entry.events.insert(name, line)),
                PartKind::Child => drop(entry.children.insert(name, line)),
            }
        }
        entry
    }
}

fn line(part: &Part) -> String {
    let gap = if part.text.is_empty() { "" } else { " " };
    format!("{}{gap}#{:016x}", part.text, part.short())
}

impl Entry {
    fn key(&self) -> (&str, &str, &str) {
        (&self.target, &self.name, &self.version)
    }

    fn parts(&self) -> Vec<LockedPart<'_>> {
        let mut parts = vec![locked(PartKind::Input, "", &self.input), locked(PartKind::Output, "", &self.output)];
        parts.extend(self.compensation.iter().map(|line| {
            let (name, rest) = line.split_at(line.find(['(', ' ']).unwrap_or(line.len()));
            locked(PartKind::Compensation, name, rest)
        }));
        for (kind, lines) in [
            (PartKind::Step, &self.steps),
            (PartKind::Helper, &self.helpers),
            (PartKind::Event, &self.events),
            (PartKind::Child, &self.children),
        ] {
            parts.extend(lines.iter().map(|(name, line)| locked(kind, name, line)));
        }
        parts
    }

    /// What is another one in a program with these parts. Digests of another algorithm say nothing, so there the words count.
    fn differences_from(&self, parts: &[Part]) -> Vec<String> {
        let mut was = self.parts();
        if !self.is_of_this_algorithm() {
            for it in &mut was {
                let is = |part: &&Part| (part.kind, part.name, part.text) == (it.kind, it.name, it.text);
                if let Some(same) = (0..count(parts)).map(|n| nth(parts, n)).find(is) {
                    it.digest = same.short();
                }
            }
        }
        let numbers = 0..differences(parts, &was);
        numbers.filter_map(|n| difference(parts, &was, n)).map(|pieces| pieces.concat()).collect()
    }

    fn says_the_same_as(&self, entry: &Entry, parts: &[Part]) -> bool {
        if self.is_of_this_algorithm() {
            self.signature == entry.signature
        } else {
            self.differences_from(parts).is_empty()
        }
    }

    fn is_of_this_algorithm(&self) -> bool {
        self.signature.split_once(':').is_some_and(|(number, _)| number == digest::ALGORITHM.to_string())
    }
}

fn locked<'a>(kind: PartKind, name: &'a str, line: &'a str) -> LockedPart<'a> {
    let (text, digest) = line.rsplit_once('#').unwrap_or((line, ""));
    LockedPart { kind, name, text: text.trim_end(), digest: u64::from_str_radix(digest, 16).unwrap_or_default() }
}

/// Who asks: the package whose file it is, and the target the question stands in.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Where the package's `Cargo.toml` is.
    pub folder: &'a Path,
    /// The package.
    pub package: &'a str,
    /// The target.
    pub target: &'a str,
}

/// Compares the lock file with what this program has of the asker's package. With `bless` the file is written instead, but never over a
/// contract that changed under the same version.
///
/// # Errors
/// What differs and what to do, as text; the file cannot be read or written.
pub fn check(asker: Asker<'_>, program: &[Version], bless: bool) -> Result<(), String> {
    let path = asker.folder.join(NAME);
    let unusable = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", path.display());
    let opened = OpenOptions::new().read(true).write(bless).create(bless).truncate(false).open(&path);
    let mut file = match opened {
        Ok(file) => Some(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(&error)),
    };
    let lock = match &mut file {
        // Tests of one package may be running side by side.
        Some(file) => {
            file.lock().map_err(|error| unusable(&error)).and_then(|()| read(file).map_err(|error| unusable(&error)))?
        }
        None => Vec::new(),
    };
    let judged = judge(asker, lock, program)?;
    if !judged.broken.is_empty() {
        return Err(told(&judged.broken, CHANGED));
    }
    match file {
        Some(file) if bless => write(file, judged.wanted).map_err(|error| unusable(&error)),
        _ if judged.stale.is_empty() => Ok(()),
        _ => Err(told(&judged.stale, &format!("write it: {BLESS}=1 cargo test"))),
    }
}

const CHANGED: &str = "Give the changed code a new `version` and keep the old function with `status = deprecated`; or, if no run of it \
                       can be in flight, delete its entry from forge-wf.lock and write it anew: FORGE_WF_BLESS=1 cargo test";

fn told(rows: &[String], what_to_do: &str) -> String {
    format!("{NAME} is not what this program has:\n  {}\n{what_to_do}", rows.join("\n  "))
}

fn read(file: &mut File) -> Result<Vec<Entry>, String> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let lock: Lock = toml::from_str(&text).map_err(|error| error.to_string())?;
    if lock.format != FORMAT {
        return Err(format!("it has format {}, and this version of forge-wf knows format {FORMAT}", lock.format));
    }
    Ok(lock.workflows)
}

fn write(mut file: File, workflows: Vec<Entry>) -> Result<(), String> {
    let text = toml::to_string(&Lock { format: FORMAT, workflows }).map_err(|error| error.to_string())?;
    let written = file
        .rewind()
        .and_then(|()| file.set_len(0))
        .and_then(|()| file.write_all((HEADER.to_owned() + &text).as_bytes()));
    written.map_err(|error| error.to_string())
}

/// What is wrong with a lock file.
#[derive(Default)]
struct Judged {
    /// Contracts that changed under the same version.
    broken: Vec<String>,
    /// What it lacks, and what it should not have.
    stale: Vec<String>,
    /// What should stand in it.
    wanted: Vec<Entry>,
}

fn judge(asker: Asker<'_>, lock: Vec<Entry>, program: &[Version]) -> Result<Judged, String> {
    let ours: Vec<_> = program.iter().filter(|version| version.contract.package == asker.package).collect();
    let is_judged =
        |target: &str| target == asker.target || ours.iter().any(|version| version.contract.target == target);
    let (locked, mut wanted): (Vec<_>, Vec<_>) = lock.into_iter().partition(|entry| is_judged(&entry.target));
    if ours.is_empty() && locked.is_empty() {
        return Err(format!(
            "no workflow of package {} is in this program: call `assert_lock!()` in the crate that has them, in a test of \
             `src/lib.rs` say",
            asker.package
        ));
    }
    let mut judged = Judged::default();
    let others = wanted.len();
    for version in ours {
        let entry = version.entry();
        if wanted[others..].iter().any(|known| known.key() == entry.key()) {
            continue;
        }
        let (what, parts) = (words(&entry), version.contract.parts);
        match locked.iter().find(|locked| locked.key() == entry.key()) {
            None => judged.stale.push(format!("{what} is not in it")),
            Some(locked) if *locked == entry => {}
            Some(locked) if !locked.says_the_same_as(&entry, parts) => {
                let mut row = format!("{what} is another one than runs in flight rely on");
                for difference in locked.differences_from(parts) {
                    row.push_str("\n    ");
                    row.push_str(&difference);
                }
                judged.broken.push(row);
            }
            Some(_) => judged.stale.push(format!("{what} is the same, and written otherwise")),
        }
        wanted.push(entry);
    }
    for gone in locked.iter().filter(|locked| !wanted[others..].iter().any(|entry| entry.key() == locked.key())) {
        judged.stale.push(format!(
            "{} is in it, and not in this program: runs of it that are in flight would be blocked; keep it with `status = deprecated` \
             until there are none",
            words(gone)
        ));
    }
    wanted.sort_by(|a, b| a.key().cmp(&b.key()));
    judged.wanted = wanted;
    Ok(judged)
}

fn words(entry: &Entry) -> String {
    format!("workflow {} version {} of {}", entry.name, entry.version, entry.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(kind: PartKind, name: &'static str, text: &'static str, digest: u128) -> Part {
        Part { kind, name, text, digest: digest << 64, parts: &[] }
    }

    const PARTS: &[Part] = &[
        part(PartKind::Input, "", "Order", 1),
        part(PartKind::Output, "", "()", 2),
        part(PartKind::Compensation, "refund", "(output.id)", 3),
        part(PartKind::Step, "charge", "(cents: u64) -> Receipt", 4),
    ];
    const OTHER_PARTS: &[Part] = &[
        part(PartKind::Input, "", "Order", 1),
        part(PartKind::Output, "", "()", 2),
        part(PartKind::Step, "charge", "(cents: u64, fee: u64) -> Receipt", 5),
    ];

    const CHECKOUT: Version = Version {
        name: "checkout",
        version: "1",
        signature: Digest(7),
        contract: Contract { package: "shop", target: "lib", parts: PARTS },
    };
    const CHANGED_CHECKOUT: Version =
        Version { signature: Digest(8), contract: Contract { parts: OTHER_PARTS, ..CHECKOUT.contract }, ..CHECKOUT };
    const NEXT_CHECKOUT: Version = Version { version: "2", ..CHANGED_CHECKOUT };
    const IN_A_TEST: Version =
        Version { contract: Contract { target: "test shop", ..CHECKOUT.contract }, ..NEXT_CHECKOUT };
    const ELSEWHERE: Version =
        Version { contract: Contract { package: "other", ..CHECKOUT.contract }, ..CHANGED_CHECKOUT };

    struct Project(tempfile::TempDir);

    impl Project {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn check(&self, program: &[Version]) -> Result<(), String> {
            check(self.asker(), program, false)
        }

        fn bless(&self, program: &[Version]) -> Result<(), String> {
            check(self.asker(), program, true)
        }

        fn asker(&self) -> Asker<'_> {
            Asker { folder: self.0.path(), package: "shop", target: "lib" }
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.0.path().join(NAME)).unwrap()
        }
    }

    #[test]
    fn what_was_written_is_accepted_and_readable() {
        let project = Project::new();
        let message = project.check(&[CHECKOUT, ELSEWHERE]).unwrap_err();
        assert!(message.contains("workflow checkout version 1 of lib is not in it"), "{message}");
        assert!(message.ends_with("write it: FORGE_WF_BLESS=1 cargo test"), "{message}");
        project.bless(&[CHECKOUT, ELSEWHERE]).unwrap();
        project.check(&[CHECKOUT, ELSEWHERE]).unwrap();
        let text = project.text();
        project.bless(&[CHECKOUT, ELSEWHERE]).unwrap();
        assert_eq!(project.text(), text);
        assert!(text.contains("charge = \"(cents: u64) -> Receipt #0000000000000004\""), "{text}");
        assert!(text.contains("compensation = \"refund(output.id) #0000000000000003\""), "{text}");
    }

    #[test]
    fn a_changed_contract_is_told_in_rows_and_never_written_over() {
        let project = Project::new();
        project.bless(&[CHECKOUT]).unwrap();
        let text = project.text();
        for result in [project.check(&[CHANGED_CHECKOUT]), project.bless(&[CHANGED_CHECKOUT, NEXT_CHECKOUT])] {
            let message = result.unwrap_err();
            for row in [
                "changed: step charge from (cents: u64) -> Receipt to (cents: u64, fee: u64) -> Receipt",
                "removed: compensation refund(output.id)",
                "Give the changed code a new `version`",
            ] {
                assert!(message.contains(row), "{message}");
            }
        }
        assert_eq!(project.text(), text);
        project.bless(&[CHECKOUT, NEXT_CHECKOUT]).unwrap();
        project.check(&[CHECKOUT, NEXT_CHECKOUT]).unwrap();
    }

    #[test]
    fn a_version_that_is_gone_is_missed_and_other_targets_are_left_alone() {
        let project = Project::new();
        project.bless(&[CHECKOUT, NEXT_CHECKOUT, IN_A_TEST]).unwrap();
        // As the library's own tests have it: without the integration test.
        project.check(&[CHECKOUT, NEXT_CHECKOUT]).unwrap();
        let message = project.check(&[NEXT_CHECKOUT]).unwrap_err();
        assert!(message.contains("version 1 of lib is in it, and not in this program"), "{message}");
        project.bless(&[NEXT_CHECKOUT]).unwrap();
        assert!(project.text().contains("target = \"test shop\""), "{}", project.text());
        let message = project.check(&[]).unwrap_err();
        assert!(message.contains("version 2 of lib is in it"), "{message}");
    }

    #[test]
    fn a_signature_of_another_algorithm_is_written_anew_if_the_words_are_the_same() {
        let project = Project::new();
        project.bless(&[CHECKOUT]).unwrap();
        std::fs::write(project.0.path().join(NAME), project.text().replace("signature = \"1:", "signature = \"0:"))
            .unwrap();
        let message = project.check(&[CHECKOUT]).unwrap_err();
        assert!(message.contains("is the same, and written otherwise"), "{message}");
        let message = project.bless(&[CHANGED_CHECKOUT]).unwrap_err();
        assert!(message.contains("removed: compensation refund(output.id)"), "{message}");
        project.bless(&[CHECKOUT]).unwrap();
        project.check(&[CHECKOUT]).unwrap();
    }

    #[test]
    fn a_program_without_workflows_and_a_file_that_cannot_be_read_are_told_apart() {
        let project = Project::new();
        let message = project.check(&[ELSEWHERE]).unwrap_err();
        assert!(message.contains("no workflow of package shop is in this program"), "{message}");
        for (text, why) in [("<<<<<<< HEAD", "cannot be used"), ("format = 2", "it has format 2")] {
            std::fs::write(project.0.path().join(NAME), text).unwrap();
            let message = project.bless(&[CHECKOUT]).unwrap_err();
            assert!(message.contains(why) && message.contains("forge-wf.lock"), "{message}");
            assert_eq!(project.text(), text);
        }
    }
}
