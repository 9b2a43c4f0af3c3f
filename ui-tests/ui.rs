//! What the attributes accept (`pass/`) and refuse (`fail/`, named after the user's mistake, the message beside it).
//!
//! After a wanted change of words: `TRYBUILD=overwrite cargo test -p forge-wf-ui-tests`, then read the diff.

mod toolchain;

#[test]
fn the_compiler_says_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    if toolchain::has_the_words_of("fail/*.rs") {
        cases.compile_fail("fail/*.rs");
    }
}
