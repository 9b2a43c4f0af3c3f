//! A project's `forge-wf.lock`, as its developer meets it: a package of its own, built by cargo.
//!
//! `lock/before.rs` is deployed, `lock/after.rs` breaks what its runs rely on. After a wanted change of words:
//! `TRYBUILD=overwrite cargo test -p forge-wf-ui-tests --test lock`, then read the diff.

mod package;
mod toolchain;

use std::fs;
use std::path::Path;

use package::Package;

/// Compares with what is kept beside the sources.
fn assert_is(text: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lock").join(name);
    if std::env::var_os("TRYBUILD").is_some_and(|value| value == "overwrite") {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn a_contract_that_changed_under_the_same_version_does_not_compile() {
    let (shop, before, after) =
        (Package::new("shop", "2024"), include_str!("lock/before.rs"), include_str!("lock/after.rs"));
    shop.write(before);
    let message = shop.fails(&["test", "--lib"], false);
    assert!(message.contains("workflow checkout version 1 of lib is not in it"), "{message}");
    assert!(message.contains("write it: FORGE_WF_BLESS=1 cargo test"), "{message}");
    shop.succeeds(&["test", "--lib"], true);
    let lock = fs::read_to_string(shop.lock()).unwrap();
    assert_is(&lock, "forge-wf.lock");
    // Documentation tests too, one of which has a workflow of the same name.
    shop.succeeds(&["test"], false);

    // rustc says so; writing the file anew is no way around it.
    shop.write(after);
    for (arguments, bless) in [(["check", "--lib"], false), (["test", "--lib"], true)] {
        let message = shop.fails(&arguments, bless);
        let error = message.find("error[E0080]").unwrap_or_else(|| panic!("{message}"));
        let end = message[error..].find("error: could not compile").map_or(message.len(), |end| error + end);
        if !bless && toolchain::has_the_words_of("lock/changed.stderr") {
            assert_is(message[error..end].trim_end(), "changed.stderr");
        }
        assert_eq!(fs::read_to_string(shop.lock()).unwrap(), lock);
    }

    // With a version of its own it compiles, and the old one is missed until the file is written anew, or the function kept.
    shop.write(
        &after.replace("#[workflow]\npub async fn checkout", "#[workflow(version = \"2\")]\npub async fn checkout"),
    );
    let message = shop.fails(&["test", "--lib"], false);
    assert!(message.contains("workflow checkout version 2 of lib is not in it"), "{message}");
    assert!(message.contains("workflow checkout version 1 of lib is in it, and not in this program"), "{message}");
    shop.succeeds(&["test", "--lib"], true);

    // The file alone has changed, and cargo looks again.
    shop.write(before);
    fs::write(shop.lock(), &lock).unwrap();
    shop.succeeds(&["check", "--lib"], false);
    let mut other = lock.replace("score", "rating");
    let digit = other.find("signature = \"1:").unwrap() + "signature = \"1:".len();
    let flipped = if other[digit..].starts_with('0') { "1" } else { "0" };
    other.replace_range(digit..=digit, flipped);
    fs::write(shop.lock(), other).unwrap();
    let message = shop.fails(&["check", "--lib"], false);
    assert!(message.contains("added: step score(id: String) -> usize"), "{message}");
    assert!(message.contains("removed: step rating(id: String) -> usize"), "{message}");
    fs::write(shop.lock(), lock.replacen("format = 1", "format = 2", 1)).unwrap();
    let message = shop.fails(&["check", "--lib"], false);
    assert!(message.contains("forge-wf.lock cannot be read: it has format 2"), "{message}");
}
