//! `cargo xtask tidy`: the house rules that neither rustfmt nor clippy knows.

mod compose;
mod graph;
mod lock;
mod manifest;
mod names;
pub(crate) mod workspace;

use crate::{backends, steps};
use workspace::Workspace;

pub(crate) const HELP: &str = "\
Check the house rules that neither rustfmt nor clippy knows

Usage: cargo xtask tidy

Rules:
  - a crate under plugins/ depends, among ours, on micro-core and micro-config alone (in tests also on micro-testkit
    and servers)
  - micro-core, micro-config and micro-codegen depend on none of ours (in tests on micro-testkit)
  - a published crate has a description, a licence and a README.md, depends on no unpublished crate of ours,
    and states a version beside the path of each of ours that it depends on
  - every crate takes its lints from the workspace
  - no file or folder is called util, common, helpers or misc
  - neither aws-lc nor openssl is in Cargo.lock
  - the services of docker-compose.yml are those of `cargo xtask backends`, each with a version, a health check, and
    ports on 127.0.0.1 alone
";

/// Checks all rules and reports on them.
///
/// # Errors
///
/// Fails if a rule is broken.
pub(crate) fn run() -> Result<(), String> {
    let mut steps = steps::Steps::new();
    steps.step("house rules", check);
    steps.finish()
}

/// Checks all rules.
///
/// # Errors
///
/// Lists each place where a rule is broken, one per line, with what to do about it.
pub(crate) fn check() -> Result<(), String> {
    let workspace = Workspace::read()?;
    let mut complaints = graph::complaints(&workspace);
    complaints.extend(manifest::complaints(&workspace)?);
    complaints.extend(names::complaints(&workspace.root)?);
    complaints.extend(lock::complaints(&workspace.root)?);
    let servers: Vec<_> = backends::services().collect();
    complaints.extend(compose::complaints(&workspace.root, &servers)?);
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_workspace_keeps_its_house_rules() {
        if let Err(complaints) = super::check() {
            panic!("{complaints}");
        }
    }
}
