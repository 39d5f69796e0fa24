//! Which object is read, and where it is.

use std::fmt;

use micro_config::Result;
use micro_kubernetes_connection::{KubernetesServer, check_name};

use crate::error::{self, ROLE};

/// Go Micro's name of the ConfigMap that nobody named.
const USUAL_NAME: &str = "micro";

/// Which object is read, and where it is.
#[derive(Debug, Clone)]
pub struct KubernetesSourceConfig {
    /// The API server, who asks it, and the namespace of the object.
    pub server: KubernetesServer,
    /// What kind of object it is. Default: a ConfigMap.
    pub kind: ObjectKind,
    /// The object's name. Default: `micro`, as in Go Micro.
    pub name: String,
}

/// What kind of object holds the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A ConfigMap: texts.
    #[default]
    ConfigMap,
    /// A Secret: texts that nobody should see. They are in base64 at the server.
    Secret,
}

impl KubernetesSourceConfig {
    /// The ConfigMap `micro` of the server's namespace.
    pub fn new(server: KubernetesServer) -> Self {
        Self {
            server,
            kind: ObjectKind::default(),
            name: USUAL_NAME.to_owned(),
        }
    }

    /// What a text of the command line says, behind its `kubernetes:`, and variables of the environment, of which
    /// `variable` gives one by name.
    ///
    /// The text is `name`, `namespace/name` or `namespace/kind/name`, in which the kind is `configmap` or `secret`; what
    /// it leaves out is as usual: the kind `configmap`, the namespace of the pod or of the kubeconfig, the name `micro`.
    /// `//host:port/` before it says where the server is. Else that is said as for the registry: a pod finds its cluster,
    /// and elsewhere `kubectl`'s current context counts. Who asks is said by variables, which
    /// [`KubernetesServer::from_addresses`] names.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when the text is none of these, or nothing says where
    /// the server is.
    pub fn from_text(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let (address, text) = match text.strip_prefix("//") {
            Some(text) => text.split_once('/').unwrap_or((text, "")),
            None => ("", text),
        };
        let (namespace, kind, name) = parse(text)?;
        let addresses: Vec<_> = Some(address.to_owned())
            .filter(|address| !address.is_empty())
            .into_iter()
            .collect();
        let server = KubernetesServer::from_addresses(&addresses, variable, ROLE).map_err(error::told)?;
        let mut config = Self::new(server);
        config.kind = kind;
        if let Some(namespace) = namespace {
            namespace.clone_into(&mut config.server.namespace);
        }
        if let Some(name) = name {
            name.clone_into(&mut config.name);
        }
        config.check()?;
        Ok(config)
    }

    /// Whether all of it makes sense.
    pub(crate) fn check(&self) -> Result<()> {
        self.server.check(ROLE).map_err(error::told)?;
        check_name(self.kind.name(), &self.name, ROLE).map_err(error::told)
    }
}

impl ObjectKind {
    /// As Kubernetes calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    /// As it stands in paths and in roles.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A namespace, a kind and a name, as far as a text says them.
fn parse(text: &str) -> Result<(Option<&str>, ObjectKind, Option<&str>)> {
    let wrong = || {
        error::misused(format_args!(
            "{text:?} names no object; write kubernetes:namespace/name, or kubernetes:namespace/secret/name for a Secret"
        ))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let (namespace, kind, name) = match parts[..] {
        [""] => (None, ObjectKind::ConfigMap, None),
        [name] => (None, ObjectKind::ConfigMap, Some(name)),
        [namespace, name] => (Some(namespace), ObjectKind::ConfigMap, Some(name)),
        [namespace, "configmap", name] => (Some(namespace), ObjectKind::ConfigMap, Some(name)),
        [namespace, "secret", name] => (Some(namespace), ObjectKind::Secret, Some(name)),
        _ => return Err(wrong()),
    };
    let is_empty = |part: Option<&str>| part.is_some_and(str::is_empty);
    match is_empty(namespace) || is_empty(name) {
        true => Err(wrong()),
        false => Ok((namespace, kind, name)),
    }
}

#[cfg(test)]
mod tests {
    use micro_config::ErrorKind;

    use super::*;

    fn variables(authority: &str) -> impl Fn(&str) -> Option<String> {
        let authority = authority.to_owned();
        move |name| {
            Some(match name {
                "KUBECONFIG" => format!("{authority}.kubeconfig"),
                _ => return None,
            })
        }
    }

    #[test]
    fn a_text_names_an_object_and_what_it_leaves_out_is_as_usual() {
        use ObjectKind::{ConfigMap, Secret};
        let rows = [
            ("", (None, ConfigMap, None)),
            ("greeter", (None, ConfigMap, Some("greeter"))),
            ("shop/greeter", (Some("shop"), ConfigMap, Some("greeter"))),
            (
                "shop/configmap/greeter",
                (Some("shop"), ConfigMap, Some("greeter")),
            ),
            ("shop/secret/greeter", (Some("shop"), Secret, Some("greeter"))),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).unwrap(), expected, "{text:?}");
        }
        for text in ["/", "shop/", "/greeter", "a/b/c", "shop/secret/", "a/secret/b/c"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn the_server_is_found_as_the_registry_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it").display().to_string();
        std::fs::write(
            format!("{path}.kubeconfig"),
            "{current-context: c, clusters: [{name: c, cluster: {server: 'https://a', certificate-authority-data: cGVt}}], \
             contexts: [{name: c, context: {cluster: c, namespace: shop}}]}",
        )
        .unwrap();
        let config = KubernetesSourceConfig::from_text("", variables(&path)).unwrap();
        assert_eq!(
            (config.server.namespace.as_str(), config.name.as_str()),
            ("shop", "micro")
        );
        let config = KubernetesSourceConfig::from_text("market/greeter", variables(&path)).unwrap();
        assert_eq!(
            (config.server.namespace.as_str(), config.name.as_str()),
            ("market", "greeter")
        );
        let authority = format!("{path}.ca");
        std::fs::write(&authority, "pem").unwrap();
        let trusting = |name: &str| (name == "KUBERNETES_CACERT").then(|| authority.clone());
        let config = KubernetesSourceConfig::from_text("//10.0.0.7:6443/market/greeter", trusting).unwrap();
        assert_eq!(
            (config.server.address.as_str(), config.server.namespace.as_str()),
            ("https://10.0.0.7:6443", "market")
        );
        for text in ["Upper/greeter", "shop/Greeter", "shop/secret/a b"] {
            let error = KubernetesSourceConfig::from_text(text, variables(&path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
        }
        let error = KubernetesSourceConfig::from_text("greeter", |_| None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
    }
}
