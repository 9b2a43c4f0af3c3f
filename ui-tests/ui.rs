//! What the attributes accept (`pass/`) and refuse (`fail/`, named after the user's mistake, the message beside it).
//!
//! The words are rustc's as well as ours, so the messages are compared on the toolchain of `rust-toolchain.toml` only.
//! After a wanted change of words: `TRYBUILD=overwrite cargo test -p forge-wf-ui-tests`, then read the diff.

use std::process::Command;

/// As in `rust-toolchain.toml`.
const TOOLCHAIN: &str = "rustc 1.95.";

#[test]
fn the_compiler_says_what_to_write() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs, or this test would not");
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    if version.starts_with(TOOLCHAIN) {
        cases.compile_fail("fail/*.rs");
    } else {
        eprintln!("\n=== SKIPPED: fail/*.rs ===");
        eprintln!("this is {version}, but the messages in fail/*.stderr are those of {TOOLCHAIN}x");
        eprintln!("run them with the toolchain in rust-toolchain.toml\n");
    }
}
