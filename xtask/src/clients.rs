//! What nobody shall get who did not choose it: the client libraries of plugins.

use std::collections::BTreeSet;

use crate::{cargo, steps};

/// The client libraries that plugins bring, and what is heavy in them.
const CLIENTS: &[&str] = &[
    "async-nats",
    "chitchat",
    "etcd-client",
    "hickory-proto",
    "hickory-resolver",
    "hyper-rustls",
    "k8s-openapi",
    "kube",
    "lapin",
    "rdkafka",
    "redis",
    "reqwest",
    "tonic",
    "zstd-sys",
];

/// What must be free of them: the core with all its features, and the facade as it is by default.
const FREE: &[(&str, &[&str])] = &[("micro-core", &["--all-features"]), ("micro", &[])];

/// Checks that neither the core nor the default facade pulls a plugin's client.
///
/// # Errors
///
/// Names each that is pulled, and how to find out by whom.
pub(crate) fn check() -> Result<(), String> {
    let mut complaints = Vec::new();
    for (package, features) in FREE {
        let tree = [
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ];
        let words = tree.into_iter().chain(features.iter().copied());
        let listed = steps::captured(&mut cargo::command(words))?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        complaints.extend(pulled(&listed).into_iter().map(|client| {
            format!(
                "{package} pulls {client}, which only a plugin may: `cargo tree --package {package} --edges normal \
                 --invert {client}` shows by whom"
            )
        }));
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n"))
    }
}

/// The clients in a list of packages with their versions.
fn pulled(listed: &str) -> BTreeSet<&str> {
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| CLIENTS.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_by_its_whole_name() {
        let listed =
            "micro-core v0.1.0 (/x)\ntonic-build v0.14.0\ntonic v0.14.9\nbytes v1.0.0\ntonic v0.14.9 (*)\n";
        assert_eq!(pulled(listed).into_iter().collect::<Vec<_>>(), ["tonic"]);
    }
}
