//! `cargo xtask test`: the tests, exactly as the README runs them.

use crate::{cargo, steps};

pub(crate) const HELP: &str = "\
Run all tests of the workspace

Usage: cargo xtask test [arguments]

Runs `cargo test --workspace` once. Arguments are passed on as they are, for example
`cargo xtask test --release` or `cargo xtask test -- --nocapture a_part_of_a_name`.
";

/// Prepares what the tests need and runs them.
///
/// # Errors
///
/// Fails if the preparation or any test fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    prepare()?;
    let all = ["test", "--workspace"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str));
    let mut steps = steps::Steps::new();
    steps.step("cargo test --workspace", || {
        steps::shown(&mut cargo::command(all))
    });
    steps.finish()
}

/// Prepares the machine for the tests: whatever must exist before `cargo test` goes here.
///
/// Nothing must today. What is added has to work on a fresh machine, be quick when it was done before, and be optional
/// for somebody who runs a plain `cargo test --workspace`.
fn prepare() -> Result<(), String> {
    Ok(())
}
