//! An etcd process on ports of its own, and what the tests ask of it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_etcd::{EtcdConfig, EtcdRegistry};
pub(crate) use micro_testkit::registry::by_hand::{LONG, PATIENCE, greeter, ids, next, register};
use servers::{Kind, Server};
use tokio::time::{Instant, sleep};

pub(crate) struct Etcd {
    pub(crate) server: Server,
    scheme: &'static str,
}

impl Etcd {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let server = servers::start_or_skip(Kind::Etcd).await?;
        Some(Self {
            server,
            scheme: "http",
        })
    }

    /// Starts one with certificates and whatever else the arguments say.
    pub(crate) async fn start_encrypted(arguments: &[&str]) -> Option<Self> {
        let address = "https://{address}";
        let mut arguments = arguments.to_vec();
        arguments.extend([
            "--listen-client-urls",
            address,
            "--advertise-client-urls",
            address,
        ]);
        let server = servers::start_with_or_skip(Kind::Etcd, &arguments).await?;
        Some(Self {
            server,
            scheme: "https",
        })
    }

    pub(crate) fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address())
    }

    pub(crate) fn config(&self) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![self.address()],
            ..EtcdConfig::default()
        }
    }

    pub(crate) async fn connect(&self) -> EtcdRegistry {
        connect(self.config()).await
    }

    /// Asks etcd's JSON gateway.
    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        servers::http(self.server.address(), "POST", path, body)
            .await
            .unwrap()
    }

    /// The value of one of etcd's metrics.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let metrics = servers::http(self.server.address(), "GET", "/metrics", "")
            .await
            .unwrap();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}"))
            .trim()
            .to_owned()
    }

    /// Puts a value as anybody may.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, in_base64(key), in_base64(value));
        self.post("/v3/kv/put", &body).await;
    }
}

pub(crate) fn in_base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: EtcdConfig) -> EtcdRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match EtcdRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("etcd did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
