//! A registry as the journeys use it: where it is, and what a program needs to join it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro::prelude::*;
use micro::{Client, Registry, Settings};
use servers::{Kind, Server, kubernetes};

/// How long anything may take: generous, because it is met only by failing tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A registry, by the name of its flag.
pub(crate) struct Network {
    pub(crate) registry: String,
    addresses: String,
    /// One of the journey's own, so that it may be restarted.
    server: Option<Server>,
    /// Kubernetes' API server, and the pods of those who joined.
    pods: Mutex<Vec<String>>,
    cluster: Option<SocketAddr>,
    /// The member that others are told of where there is no server.
    first: Option<Arc<dyn Registry>>,
}

/// What a program is given to join: flags and environment variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Membership {
    pub(crate) flags: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Network {
    /// The server that all tests share, or what needs none.
    pub(crate) async fn shared(registry: &str) -> Self {
        if registry == "gossip" {
            return Self::of_members().await;
        }
        let addresses = match registry {
            "mdns" => "lo",
            "etcd" => "127.0.0.1:2379",
            "consul" => "127.0.0.1:8500",
            "zookeeper" => "127.0.0.1:2181",
            "kubernetes" => "127.0.0.1:6443",
            other => panic!("no journey knows the registry {other}"),
        };
        Self::new(registry, addresses, None)
    }

    /// Members who meet at one of the journey's own.
    async fn of_members() -> Self {
        let free = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let mut network = Self::new("gossip", &free, None);
        let arguments = Arguments::new("journey");
        let variables = [("MICRO_GOSSIP_LISTEN", free.as_str())];
        let settings = arguments.parse_from(["--registry=gossip"], variables).unwrap();
        network.first = Some(settings.connect_registry().await.unwrap());
        network
    }

    fn new(registry: &str, addresses: &str, server: Option<Server>) -> Self {
        let is_cluster = registry == "kubernetes";
        Self {
            cluster: is_cluster.then(|| addresses.parse().unwrap()),
            registry: registry.to_owned(),
            addresses: addresses.to_owned(),
            server,
            pods: Mutex::default(),
            first: None,
        }
    }

    /// A server of one's own. None: its program is not installed, and the journey is left out.
    pub(crate) async fn own(registry: &str) -> Option<Self> {
        let kind: Kind = registry.parse().unwrap();
        let server = servers::start_or_skip(kind).await?;
        let address = server.address().to_string();
        Some(Self::new(registry, &address, Some(server)))
    }

    /// Both at once. The servers stay with their owners.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let registry = format!("{},{}", self.registry, other.registry);
        let named = [self, other].map(|network| format!("{}={}", network.registry, network.addresses));
        Self::new(&registry, &named.join(","), None)
    }

    /// The same at another address, such as a proxy's.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        let mut network = Self::new(&self.registry, &address.to_string(), None);
        network.cluster = self.cluster;
        network
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses.parse().unwrap()
    }

    /// Starts the journey's own server again, without its data.
    pub(crate) async fn start_empty(&mut self) {
        self.server().start_empty().await.unwrap();
        // Without its pods nobody is there: whatever runs them makes them anew.
        let pods = std::mem::take(&mut *self.pods.lock().unwrap());
        for pod in pods {
            self.start_pod(&pod).await;
        }
    }

    async fn start_pod(&self, pod: &str) {
        let started = kubernetes::start_pod(self.cluster.unwrap(), pod).await;
        started.unwrap_or_else(|problem| panic!("`cargo xtask backends up kubernetes`? {problem:#}"));
        self.pods.lock().unwrap().push(pod.to_owned());
    }

    /// The journey's own server.
    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    /// What one more program needs to join.
    pub(crate) async fn membership(&self) -> Membership {
        let environment = match self.cluster {
            Some(_) => {
                let pod = unique("pod");
                self.start_pod(&pod).await;
                kubernetes::variables(&pod)
            }
            None => Vec::new(),
        };
        Membership {
            flags: vec![
                format!("--registry={}", self.registry),
                format!("--registry_address={}", self.addresses),
            ],
            environment,
        }
    }

    async fn settings(&self) -> Settings {
        let membership = self.membership().await;
        let arguments = Arguments::new("journey").default_value("server_address", "127.0.0.1:0");
        arguments
            .parse_from(membership.flags, membership.environment)
            .unwrap()
    }

    /// Connects, as one more program.
    pub(crate) async fn registry(&self) -> Arc<dyn Registry> {
        let connected = self.settings().await.connect_registry().await;
        connected.unwrap_or_else(|error| panic!("`cargo xtask backends up {}`? {error}", self.registry))
    }

    /// A client of one more program.
    pub(crate) async fn client(&self) -> Client {
        let builder = self.settings().await.client().await;
        let builder =
            builder.unwrap_or_else(|error| panic!("`cargo xtask backends up {}`? {error}", self.registry));
        builder.build()
    }
}

impl Drop for Network {
    /// Takes the pods away that nobody runs any more. Those of a server of one's own go with it.
    fn drop(&mut self) {
        let pods = std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Some(cluster), None) = (self.cluster, &self.server) {
            for pod in pods {
                let _ = kubernetes::end_pod(cluster, &pod);
            }
        }
    }
}

/// A name that no other test and run has.
pub(crate) fn unique(what: &str) -> String {
    format!("journey-{what}-{:08x}", random())
}

fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    u32::try_from(hash & u64::from(u32::MAX)).unwrap()
}

/// The id that a service gives its node.
pub(crate) fn node_of(service: &str, id: &str) -> String {
    format!("{service}-{id}")
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// The ids of a service's nodes, of all versions, sorted. None if it is not found.
pub(crate) async fn nodes(registry: &Arc<dyn Registry>, service: &str) -> Vec<String> {
    let found = registry.get_service(service).await.unwrap_or_default();
    let nodes = found.into_iter().flat_map(|record| record.nodes);
    let mut ids: Vec<String> = nodes.map(|node| node.id.as_str().to_owned()).collect();
    ids.sort();
    ids
}
