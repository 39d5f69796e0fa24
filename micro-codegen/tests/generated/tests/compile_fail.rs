//! What people are told who implement or call a service wrongly.
//!
//! The expected messages are written anew with `TRYBUILD=overwrite cargo test`.

#[test]
fn mistakes_are_told_by_the_compiler() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
