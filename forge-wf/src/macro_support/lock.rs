//! What `assert_lock!` becomes: it asks what this program has, and compares the lock file of the package it stands in.

use std::path::Path;

use crate::contract::lockfile::{Asker, BLESS, Version, check};
use crate::engine::definition::Registration;

/// Fails a test whose package's lock file is not what this program has, or writes the file if the environment asks for it.
///
/// # Panics
/// The file differs, or cannot be read or written.
#[track_caller]
pub fn assert_lock(folder: &str, package: &str, crate_name: &str, bin_name: Option<&str>, tmpdir: Option<&str>) {
    // The macros have the same rule, `lock.rs` there.
    let target = match (bin_name, tmpdir) {
        (Some(bin), _) => format!("bin {bin}"),
        (None, Some(_)) => format!("test {crate_name}"),
        (None, None) => String::from("lib"),
    };
    let versions: Vec<_> = (inventory::iter::<Registration>.into_iter())
        .filter_map(|registration| match registration {
            Registration::Workflow(workflow) => Some(Version {
                name: workflow.name,
                version: workflow.version,
                signature: workflow.signature,
                contract: workflow.contract,
            }),
            _ => None,
        })
        .collect();
    let bless = std::env::var_os(BLESS).is_some_and(|value| value == "1");
    let asker = Asker { folder: Path::new(folder), package, target: &target };
    if let Err(message) = check(asker, &versions, bless) {
        panic!("{message}");
    }
}

/// A test that fails when `forge-wf.lock` is not what this program has, and names each difference; with `FORGE_WF_BLESS=1` it writes
/// the file, beside `Cargo.toml`.
///
/// The file holds, for each version of each workflow, what its runs in flight rely on: input, output, steps with their types and
/// what undoes them, helpers, events and children. Check it in. From then on a change of any of these under the same version does
/// not compile, and the compiler says what was added, removed or changed. What that asks for is a new version, or, if no run of it
/// can be in flight, that its entry is deleted from the file and written anew. Never is a changed contract written over an old one; an
/// entry whose workflow is no longer in the program is dropped, which the test fails for until the file is written.
///
/// The test belongs into the crate that has the workflows (in `src/lib.rs` or `src/main.rs`, below `#[cfg(test)]`), with the features
/// that are deployed: a body whose calls depend on features is another contract with other features, and does not compile with those.
/// Each target of a package has its own part of the file: the library, each binary, and each test; a binary and an
/// example of one name share theirs. Documentation tests are not looked at.
///
/// ```no_run
/// #[test]
/// fn contracts_are_kept() {
///     forge_wf::contract::assert_lock!();
/// }
/// ```
///
/// # Panics
/// The file differs, or cannot be read or written. Writing it again changes nothing.
#[macro_export]
#[doc(hidden)]
macro_rules! __forge_wf_assert_lock {
    () => {
        $crate::__private::assert_lock(
            ::core::env!("CARGO_MANIFEST_DIR"),
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_CRATE_NAME"),
            ::core::option_env!("CARGO_BIN_NAME"),
            ::core::option_env!("CARGO_TARGET_TMPDIR"),
        )
    };
}
