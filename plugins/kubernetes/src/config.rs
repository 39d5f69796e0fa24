//! Where the API server is, who asks it, and what is asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use micro_core::Result;
use micro_kubernetes_connection::{KubernetesServer, KubernetesTls, Token, check_name};

use crate::error::ROLE;

/// How to reach the API server, and which records to keep there.
#[derive(Clone)]
pub struct KubernetesConfig {
    /// The API server: `https://host:port`, or `http://host:port` for a `kubectl proxy`. Without a port, 443 and 80.
    pub server: String,
    /// Who is calling. Default: [`Token::None`].
    pub token: Token,
    /// Whom to believe where the server is `https`, and what to show it. Default: none.
    pub tls: Option<KubernetesTls>,
    /// The namespace of the pods. Only services of one namespace meet. Default: `default`.
    pub namespace: String,
    /// The name of the pod that this process runs in, whose labels and annotations are written. Empty: this process
    /// looks up and watches, but cannot register. Default: empty.
    pub pod: String,
    /// Whether nodes that were registered with a time to live lapse after it. It costs one patch of the pod for each
    /// registering again. Without it, as in Go Micro, a node stays until it is deregistered or its pod no longer runs.
    /// Default: yes.
    pub expire: bool,
    /// Whether to leave out pods that are not ready, which Go Micro does not look at. A service whose readiness waits
    /// for other services must not be found through them then. Default: no.
    pub ready_only: bool,
    /// Whether to look for the endpoints of a Kubernetes service where nobody registered one of the name. Default: no.
    pub endpoint_slices: Option<EndpointSlices>,
    /// How long connecting may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long a request may take, connecting included. At most a day. Default: 5 s.
    pub request_timeout: Duration,
}

/// Which endpoints of Kubernetes' own services are nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSlices {
    /// The name of the port that is called. `None`: every TCP port is a node of its own. Default: `None`.
    pub port: Option<String>,
}

impl KubernetesConfig {
    /// The server at an address, with neither token nor certificates.
    pub fn new(server: impl Into<String>) -> Self {
        Self::at(KubernetesServer::new(server))
    }

    fn at(server: KubernetesServer) -> Self {
        Self {
            server: server.address,
            token: server.token,
            tls: server.tls,
            namespace: server.namespace,
            pod: String::new(),
            expire: true,
            ready_only: false,
            endpoint_slices: None,
            connect_timeout: server.connect_timeout,
            request_timeout: server.request_timeout,
        }
    }

    /// What `--registry_address` and the variables of the environment say, of which `variable` gives one by name.
    ///
    /// With an address, the server is there. Without one, it is the cluster's own where `KUBERNETES_SERVICE_HOST` is
    /// set, as in every pod, and else what a kubeconfig says: `KUBECONFIG`, or `~/.kube/config`. The variables
    /// `KUBERNETES_TOKEN`, `KUBERNETES_CACERT` (a file) and `KUBERNETES_NAMESPACE` count before what was found, and
    /// `HOSTNAME` is the pod.
    ///
    /// # Errors
    ///
    /// When there is more than one address, a file cannot be read, or nothing says where the server is.
    pub fn from_addresses(addresses: &[String], variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = Self::at(KubernetesServer::from_addresses(addresses, &variable, ROLE)?);
        // Outside of a cluster it is the name of a machine, which need not be one of a pod.
        let pod = variable("HOSTNAME").filter(|name| check_name("pod", name, ROLE).is_ok());
        config.pod = pod.unwrap_or_default();
        Ok(config)
    }

    /// The server of the cluster that this process runs in, with the token, the authority and the namespace that
    /// Kubernetes put into the pod.
    ///
    /// # Errors
    ///
    /// When there are no such files.
    pub fn in_cluster(host: &str, port: Option<&str>) -> Result<Self> {
        KubernetesServer::in_cluster(host, port, ROLE).map(Self::at)
    }

    /// What files of `kubectl` say of a context; with `None`, of the current one. Where several files say something of
    /// the same name, the first counts.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is none of kubectl's, the context is unknown, or it has what is not supported
    /// here: credentials by another program, or a server that is not verified.
    pub fn kubeconfig(files: &[PathBuf], context: Option<&str>) -> Result<Self> {
        KubernetesServer::kubeconfig(files, context, ROLE).map(Self::at)
    }

    /// How to reach the server, all of the configuration checked.
    pub(crate) fn connection(&self) -> Result<KubernetesServer> {
        let server = KubernetesServer {
            address: self.server.clone(),
            token: self.token.clone(),
            tls: self.tls.clone(),
            namespace: self.namespace.clone(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        };
        server.check(ROLE)?;
        if !self.pod.is_empty() {
            check_name("pod", &self.pod, ROLE)?;
        }
        Ok(server)
    }
}

impl fmt::Debug for KubernetesConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KubernetesConfig")
            .field("server", &self.server)
            .field("token", &self.token)
            .field("tls", &self.tls)
            .field("namespace", &self.namespace)
            .field("pod", &self.pod)
            .field("expire", &self.expire)
            .field("ready_only", &self.ready_only)
            .field("endpoint_slices", &self.endpoint_slices)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let error = KubernetesConfig::new("https://a").connection().unwrap_err();
        assert!(error.detail().contains("KUBERNETES_CACERT"), "{error}");
        let mut config = KubernetesConfig::new("http://a");
        config.connection().unwrap();
        config.pod = "../nodes".to_owned();
        assert!(config.connection().unwrap_err().detail().contains("pod"));
    }

    #[test]
    fn the_machines_name_is_the_pods_where_it_can_be() {
        let authority = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&authority, "pem").unwrap();
        let path = authority.path().display().to_string();
        let connected = |host: &str| {
            let variables = |name: &str| match name {
                "KUBERNETES_CACERT" => Some(path.clone()),
                "KUBERNETES_TOKEN" => Some("secret".to_owned()),
                "KUBERNETES_NAMESPACE" => Some("shop".to_owned()),
                "HOSTNAME" => Some(host.to_owned()),
                _ => None,
            };
            KubernetesConfig::from_addresses(&["127.0.0.1:6443".into()], variables).unwrap()
        };
        let config = connected("greeter-7d9f");
        assert_eq!(config.server, "https://127.0.0.1:6443");
        assert_eq!(
            (config.namespace.as_str(), config.pod.as_str()),
            ("shop", "greeter-7d9f")
        );
        assert_eq!(config.token, Token::Text("secret".into()));
        assert!(!format!("{config:?}").contains("secret"));
        assert_eq!(connected("My_Laptop").pod, "");
    }
}
