//! The words of a compile error are rustc's as well as ours, so they are compared on one toolchain only.

use std::process::Command;

/// As in `rust-toolchain.toml`.
const TOOLCHAIN: &str = "rustc 1.95.";

/// Whether `what` can be compared here. Says so if not.
pub fn has_the_words_of(what: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs, or this test would not");
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let fits = version.starts_with(TOOLCHAIN);
    if !fits {
        eprintln!("\n=== SKIPPED: {what} ===");
        eprintln!("this is {version}, but these messages are those of {TOOLCHAIN}x");
        eprintln!("run them with the toolchain in rust-toolchain.toml\n");
    }
    fits
}
