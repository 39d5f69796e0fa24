//! `cargo xtask verify`: every check that only reads.

use crate::tidy::workspace::Workspace;
use crate::{cargo, clients, steps, tidy};

pub(crate) const HELP: &str = "\
Check everything that needs no running service; changes nothing

Usage: cargo xtask verify

Steps:
  format         cargo fmt --all --check
  house rules    cargo xtask tidy
  clients        neither micro-core nor the facade by default pulls the client library of a plugin
  packages       cargo package --list, for each published crate
  lints          cargo clippy --workspace --all-targets -- -D warnings
  documentation  cargo doc --workspace --no-deps, with warnings denied

All steps run even when one fails; the failed ones are listed at the end.
";

/// Runs all steps, the quick ones first.
///
/// # Errors
///
/// Names the steps that failed.
pub(crate) fn run() -> Result<(), String> {
    let mut steps = steps::Steps::new();
    steps.step("format", || {
        steps::shown(&mut cargo::command(["fmt", "--all", "--check"]))
    });
    steps.step("house rules", tidy::check);
    steps.step("clients", clients::check);
    steps.step("packages", packages);
    steps.step("lints", || {
        steps::shown(&mut cargo::command([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.step("documentation", || {
        steps::shown(cargo::command(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.finish()
}

/// Asks cargo which files each published crate would contain, which fails where a manifest names what does not exist.
fn packages() -> Result<(), String> {
    let workspace = Workspace::read()?;
    let mut complaints = Vec::new();
    for package in workspace.packages.iter().filter(|package| package.published) {
        let list = ["package", "--list", "--allow-dirty", "--package", &package.name];
        if let Err(complaint) = steps::captured(&mut cargo::command(list)) {
            complaints.push(complaint);
        }
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}
