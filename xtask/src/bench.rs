//! `cargo xtask bench`: the benchmark suite, in release mode.

use crate::{cargo, steps};

pub(crate) const HELP: &str = "\
Build the benchmarks in release mode and run them

Usage: cargo xtask bench [options]

Options are passed on to the suite: `cargo xtask bench --help` lists them, and
`cargo xtask bench --quick` is a smoke run of under a minute.
";

/// Builds and runs the benchmark suite.
///
/// # Errors
///
/// Fails if the suite does not build or ends without success.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let suite = ["run", "--release", "--package", "benches", "--"];
    steps::shown(&mut cargo::command(
        suite.into_iter().chain(arguments.iter().map(String::as_str)),
    ))
}
