//! Which of our crates may depend on which.

use super::workspace::{Kind, Package, Workspace};

const CORE: &str = "micro-core";
const CONFIG: &str = "micro-config";
/// What tests may depend on: the suites, and real servers to run them against.
const FOR_TESTS: &[&str] = &["micro-testkit", "servers"];

/// Dependencies that the rules below forbid and that are wanted all the same, as (package, dependency).
///
/// Each needs its reason in ARCHITECTURE.md.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("micro-consul", "micro-consul-connection"),
    ("micro-consul-config", "micro-consul-connection"),
    ("micro-etcd", "micro-etcd-connection"),
    ("micro-etcd-config", "micro-etcd-connection"),
    ("micro-kubernetes", "micro-kubernetes-connection"),
    ("micro-kubernetes-config", "micro-kubernetes-connection"),
    ("micro-nats", "micro-nats-connection"),
    ("micro-nats-config", "micro-nats-connection"),
    ("micro-nats-registry", "micro-nats-connection"),
    ("micro-nats-transport", "micro-nats-connection"),
    ("micro-rabbitmq", "micro-rabbitmq-connection"),
    ("micro-rabbitmq-transport", "micro-rabbitmq-connection"),
];

/// The dependencies that break the crate graph.
pub(super) fn complaints(workspace: &Workspace) -> Vec<String> {
    workspace.packages.iter().flat_map(complaints_about).collect()
}

fn complaints_about(package: &Package) -> Vec<String> {
    let Some(allowed) = allowed(package) else {
        return Vec::new();
    };
    let forbidden = package.ours.iter().filter(|dependency| {
        let name = dependency.name.as_str();
        let for_tests = dependency.kind == Kind::Development && FOR_TESTS.contains(&name);
        !allowed.contains(&name) && !for_tests && !EXCEPTIONS.contains(&(package.name.as_str(), name))
    });
    forbidden
        .map(|dependency| complaint(package, &dependency.name, allowed))
        .collect()
}

/// The crates of ours that a package may depend on, or nothing where no rule applies.
fn allowed(package: &Package) -> Option<&'static [&'static str]> {
    if package.directory.starts_with("plugins") {
        return Some(&[CORE, CONFIG]);
    }
    matches!(package.name.as_str(), CORE | CONFIG | "micro-codegen").then_some(&[])
}

fn complaint(package: &Package, dependency: &str, allowed: &[&str]) -> String {
    let allowed = if allowed.is_empty() {
        "nothing of ours".to_owned()
    } else {
        allowed.join(", ")
    };
    format!(
        "{}/Cargo.toml: {} depends on {dependency}, but may depend on {allowed} (and in tests on {}): move what is \
         shared into {CORE}, or state the exception in xtask/src/tidy/graph.rs and its reason in ARCHITECTURE.md",
        package.directory.display(),
        package.name,
        FOR_TESTS.join(" and "),
    )
}

#[cfg(test)]
mod tests {
    use super::super::workspace::tests::{dependency, package};
    use super::*;

    fn with(name: &str, directory: &str, ours: &[(&str, Kind)]) -> Package {
        let ours = ours.iter().map(|(name, kind)| dependency(name, *kind)).collect();
        Package {
            ours,
            ..package(name, directory)
        }
    }

    #[test]
    fn a_plugin_depends_on_the_core_and_in_tests_on_the_testkit() {
        let plugin = with(
            "micro-etcd",
            "plugins/etcd",
            &[
                (CORE, Kind::Normal),
                (FOR_TESTS[0], Kind::Development),
                (FOR_TESTS[1], Kind::Development),
            ],
        );
        assert!(complaints_about(&plugin).is_empty());
    }

    #[test]
    fn a_plugin_that_depends_on_another_is_named_with_it() {
        let plugin = with(
            "micro-consul-config",
            "plugins/consul-config",
            &[("micro-consul", Kind::Normal)],
        );
        let complaints = complaints_about(&plugin);
        assert_eq!(complaints.len(), 1);
        assert!(
            complaints[0].contains("micro-consul-config depends on micro-consul,"),
            "{}",
            complaints[0]
        );
    }

    #[test]
    fn the_testkit_is_for_tests_alone() {
        let plugin = with("micro-etcd", "plugins/etcd", &[(FOR_TESTS[0], Kind::Normal)]);
        assert_eq!(complaints_about(&plugin).len(), 1);
    }

    #[test]
    fn core_and_codegen_depend_on_none_of_ours() {
        assert!(complaints_about(&with(CORE, CORE, &[(FOR_TESTS[0], Kind::Development)])).is_empty());
        assert_eq!(
            complaints_about(&with(CORE, CORE, &[("micro-config", Kind::Normal)])).len(),
            1
        );
        let codegen = with("micro-codegen", "micro-codegen", &[(CORE, Kind::Build)]);
        assert_eq!(complaints_about(&codegen).len(), 1);
    }

    #[test]
    fn the_facade_may_depend_on_any() {
        let facade = with(
            "micro",
            "micro",
            &[(CORE, Kind::Normal), ("micro-etcd", Kind::Normal)],
        );
        assert!(complaints_about(&facade).is_empty());
    }
}
