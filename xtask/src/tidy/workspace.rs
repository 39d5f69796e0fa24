//! The workspace's packages, as `cargo metadata` tells them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{cargo, steps};

/// The workspace's root and its packages.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// What the rules want to know about one package.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The package's directory, relative to the workspace's root.
    pub(crate) directory: PathBuf,
    pub(crate) published: bool,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    /// The dependencies on packages of this workspace, and on no others.
    pub(crate) ours: Vec<Dependency>,
}

/// A dependency on another package of this workspace.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) versioned: bool,
}

/// When a dependency is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Development,
}

impl Workspace {
    /// Asks cargo about the workspace. Needs no network.
    ///
    /// # Errors
    ///
    /// Fails if cargo cannot read the manifests, with cargo's own words.
    pub(crate) fn read() -> Result<Self, String> {
        let arguments = ["metadata", "--format-version", "1", "--no-deps"];
        let text = steps::captured(&mut cargo::command(arguments))?;
        let metadata: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("the answer of `cargo metadata` is not JSON: {error}"))?;
        Self::parse(&metadata)
    }

    fn parse(metadata: &Value) -> Result<Self, String> {
        let root = PathBuf::from(text(metadata, "workspace_root").ok_or_else(|| missing("workspace_root"))?);
        let packages = metadata["packages"]
            .as_array()
            .ok_or_else(|| missing("packages"))?;
        let packages = packages
            .iter()
            .map(|package| Package::parse(package, &root))
            .collect::<Result<_, _>>()?;
        Ok(Self { root, packages })
    }
}

impl Package {
    fn parse(package: &Value, root: &Path) -> Result<Self, String> {
        let name = text(package, "name").ok_or_else(|| missing("name"))?;
        let manifest = PathBuf::from(text(package, "manifest_path").ok_or_else(|| missing("manifest_path"))?);
        let directory = manifest.parent().unwrap_or(root);
        let dependencies = package["dependencies"]
            .as_array()
            .ok_or_else(|| missing("dependencies"))?;
        Ok(Self {
            name,
            directory: directory.strip_prefix(root).unwrap_or(directory).to_path_buf(),
            published: package["publish"]
                .as_array()
                .is_none_or(|registries| !registries.is_empty()),
            description: text(package, "description"),
            license: text(package, "license"),
            readme: text(package, "readme"),
            ours: dependencies.iter().filter_map(Dependency::parse).collect(),
        })
    }
}

impl Dependency {
    /// The dependency, if it is on a path: then it is one of ours.
    fn parse(dependency: &Value) -> Option<Self> {
        dependency["path"].as_str()?;
        Some(Self {
            name: text(dependency, "name")?,
            kind: match dependency["kind"].as_str() {
                Some("dev") => Kind::Development,
                Some("build") => Kind::Build,
                _ => Kind::Normal,
            },
            versioned: dependency["req"].as_str() != Some("*"),
        })
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn missing(key: &str) -> String {
    format!("the answer of `cargo metadata` lacks {key:?}; this cargo may be newer than xtask knows")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A published package in the given directory, complete but without dependencies.
    pub(crate) fn package(name: &str, directory: &str) -> Package {
        Package {
            name: name.to_owned(),
            directory: directory.into(),
            published: true,
            description: Some("What it is".to_owned()),
            license: Some("MIT OR Apache-2.0".to_owned()),
            readme: Some("README.md".to_owned()),
            ours: Vec::new(),
        }
    }

    /// A dependency with a version.
    pub(crate) fn dependency(name: &str, kind: Kind) -> Dependency {
        Dependency {
            name: name.to_owned(),
            kind,
            versioned: true,
        }
    }

    #[test]
    fn packages_are_read_with_their_dependencies_on_each_other() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [{
                "name": "micro-etcd",
                "manifest_path": "/w/plugins/etcd/Cargo.toml",
                "publish": [],
                "description": "text",
                "dependencies": [
                    { "name": "bytes", "kind": null, "req": "^1" },
                    { "name": "micro-core", "kind": null, "req": "^0.1", "path": "/w/micro-core" },
                    { "name": "micro-testkit", "kind": "dev", "req": "*", "path": "/w/micro-testkit" },
                ],
            }],
        });
        let workspace = Workspace::parse(&metadata).unwrap();
        let package = &workspace.packages[0];
        assert_eq!(package.directory, Path::new("plugins/etcd"));
        assert!(!package.published);
        assert_eq!(package.license, None);
        let ours: Vec<_> = package
            .ours
            .iter()
            .map(|ours| (ours.name.as_str(), ours.versioned))
            .collect();
        assert_eq!(ours, [("micro-core", true), ("micro-testkit", false)]);
        assert!(package.ours[1].kind == Kind::Development);
    }

    #[test]
    fn an_unexpected_answer_names_what_is_missing() {
        let error = Workspace::parse(&serde_json::json!({ "workspace_root": "/w" }))
            .err()
            .unwrap();
        assert!(error.contains("\"packages\""), "{error}");
    }
}
