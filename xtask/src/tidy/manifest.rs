//! What a manifest must say.

use std::collections::HashMap;
use std::fs;

use super::workspace::{Kind, Package, Workspace};

/// What is missing from the manifests.
///
/// # Errors
///
/// Fails if a manifest cannot be read.
pub(super) fn complaints(workspace: &Workspace) -> Result<Vec<String>, String> {
    let published: HashMap<&str, bool> = workspace
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package.published))
        .collect();
    let mut complaints = Vec::new();
    for package in &workspace.packages {
        let mut found = Vec::new();
        let directory = workspace.root.join(&package.directory);
        let path = directory.join("Cargo.toml");
        let manifest = fs::read_to_string(&path)
            .map_err(|error| format!("the manifest {} cannot be read: {error}", path.display()))?;
        if !inherits_lints(&manifest) {
            found.push("takes no lints from the workspace: add `[lints]` with `workspace = true`".to_owned());
        }
        if package.published {
            found.extend(missing_for_publishing(
                package,
                directory.join("README.md").is_file(),
            ));
            found.extend(unpublishable_dependencies(package, &published));
        }
        let place = package.directory.join("Cargo.toml");
        complaints.extend(
            found
                .into_iter()
                .map(|text| format!("{}: {} {text}", place.display(), package.name)),
        );
    }
    Ok(complaints)
}

fn inherits_lints(manifest: &str) -> bool {
    let lines = manifest.lines().map(str::trim);
    let section = lines
        .skip_while(|line| *line != "[lints]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    manifest
        .lines()
        .any(|line| line.trim() == "lints.workspace = true")
        || {
            section
                .map(|line| line.replace(' ', ""))
                .any(|line| line == "workspace=true")
        }
}

fn missing_for_publishing(package: &Package, has_readme_file: bool) -> Vec<String> {
    let mut missing = Vec::new();
    if package
        .description
        .as_deref()
        .is_none_or(|description| description.trim().is_empty())
    {
        missing.push("is published without a description: say in one line what it is".to_owned());
    }
    if package.license.is_none() {
        missing.push("is published without a licence: add `license.workspace = true`".to_owned());
    }
    if package.readme.as_deref() != Some("README.md") || !has_readme_file {
        missing.push("is published without a README.md of its own beside its manifest: write one".to_owned());
    }
    missing
}

/// Normal and build dependencies that a registry would refuse. Those for tests may lack a version: cargo leaves them out
/// when it publishes, which is the only way for two crates that test each other.
fn unpublishable_dependencies(package: &Package, published: &HashMap<&str, bool>) -> Vec<String> {
    let mut complaints = Vec::new();
    for dependency in package
        .ours
        .iter()
        .filter(|dependency| dependency.kind != Kind::Development)
    {
        let name = &dependency.name;
        if !dependency.versioned {
            complaints.push(format!(
                "depends on {name} by path alone: state the version beside it, or take the workspace's"
            ));
        }
        if published.get(name.as_str()) == Some(&false) {
            complaints.push(format!(
                "is published but depends on {name}, which is not: publish both or neither"
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::super::workspace::tests::{dependency, package};
    use super::*;

    #[test]
    fn lints_are_inherited_in_a_section_of_their_own() {
        assert!(inherits_lints(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(inherits_lints("[lints]\nworkspace=true"));
        assert!(!inherits_lints("[lints]\n\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n"));
    }

    #[test]
    fn a_complete_package_can_be_published() {
        assert!(missing_for_publishing(&package("micro-core", "micro-core"), true).is_empty());
    }

    #[test]
    fn each_missing_text_is_a_complaint_of_its_own() {
        let bare = Package {
            description: None,
            license: None,
            readme: None,
            ..package("micro-core", "micro-core")
        };
        assert_eq!(missing_for_publishing(&bare, false).len(), 3);
        assert_eq!(
            missing_for_publishing(&package("micro-core", "micro-core"), false).len(),
            1
        );
    }

    #[test]
    fn a_path_needs_a_version_unless_it_is_for_tests() {
        let mut package = package("micro-etcd", "plugins/etcd");
        package.ours = [Kind::Normal, Kind::Development]
            .map(|kind| dependency("micro-core", kind))
            .into();
        package
            .ours
            .iter_mut()
            .for_each(|dependency| dependency.versioned = false);
        let complaints = unpublishable_dependencies(&package, &HashMap::new());
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("by path alone"), "{}", complaints[0]);
    }

    #[test]
    fn what_is_published_needs_nothing_unpublished() {
        let mut package = package("micro", "micro");
        package.ours = vec![dependency("benches", Kind::Normal)];
        assert_eq!(
            unpublishable_dependencies(&package, &HashMap::from([("benches", false)])).len(),
            1
        );
        assert!(unpublishable_dependencies(&package, &HashMap::from([("benches", true)])).is_empty());
    }
}
