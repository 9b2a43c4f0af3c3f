//! What the macros write compiles in packages of an earlier edition, under lints that are denied.

mod package;

use package::Package;

#[test]
fn a_package_of_edition_2021_compiles() {
    let package = Package::new("earlier", "2021");
    package.write(include_str!("edition/earlier.rs"));
    package.succeeds(&["check", "--lib"], false);
}
