//! A cargo package of its own that uses the library, as its developer has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package below this target's folder for temporary files.
pub struct Package {
    folder: PathBuf,
}

impl Package {
    /// One without sources yet, and without a lock file of contracts.
    pub fn new(name: &str, edition: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = ours.join("../forge-wf").canonicalize().unwrap();
        let manifest = include_str!("package.toml.in")
            .replace("{name}", name)
            .replace("{edition}", edition)
            .replace("{forge-wf}", &library.display().to_string());
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        // The versions that are there already, so nothing is asked of a registry.
        fs::copy(ours.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let package = Self { folder };
        let _ = fs::remove_file(package.lock());
        package
    }

    /// Its lock file of contracts.
    pub fn lock(&self) -> PathBuf {
        self.folder.join("forge-wf.lock")
    }

    /// Makes this its library.
    pub fn write(&self, source: &str) {
        fs::write(self.folder.join("src/lib.rs"), source).unwrap();
    }

    fn cargo(&self, arguments: &[&str], bless: bool) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).args(["--offline", "--quiet"]).current_dir(&self.folder);
        // What cargo has set for this test is not the package's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_TARGET_DIR", self.folder.with_file_name("packages")).env_remove("CARGO_MANIFEST_DIR");
        cargo.env("CARGO_TERM_COLOR", "never").env_remove("FORGE_WF_BLESS");
        if bless {
            cargo.env("FORGE_WF_BLESS", "1");
        }
        cargo.output().unwrap()
    }

    /// Has cargo do this, with or without writing the lock file of contracts, and fails the test if it fails.
    pub fn succeeds(&self, arguments: &[&str], bless: bool) {
        let output = self.cargo(arguments, bless);
        assert!(output.status.success(), "cargo {arguments:?}:\n{}", said(&output));
    }

    /// What cargo says as it fails.
    #[allow(dead_code)] // not every test has something that fails
    pub fn fails(&self, arguments: &[&str], bless: bool) -> String {
        let output = self.cargo(arguments, bless);
        assert!(!output.status.success(), "cargo {arguments:?} succeeded:\n{}", said(&output));
        said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
