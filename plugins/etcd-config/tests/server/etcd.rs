//! An etcd process on ports of its own, and what the tests ask of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_etcd_config::{EtcdServers, EtcdSource, EtcdSourceConfig, KeyFolder};
pub(crate) use micro_testkit::config::by_hand::{PATIENCE, follow, next, said, until, until_well};
use servers::{Kind, Server};

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

    pub(crate) fn config(&self, prefix: &str) -> EtcdSourceConfig {
        config(&self.address(), prefix)
    }

    pub(crate) fn source(&self, prefix: &str) -> EtcdSource {
        EtcdSource::new(self.config(prefix)).unwrap()
    }

    /// Asks etcd's JSON gateway.
    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        servers::http(self.server.address(), "POST", path, body)
            .await
            .unwrap()
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, in_base64(key), in_base64(value));
        self.post("/v3/kv/put", &body).await;
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.post(
            "/v3/kv/deleterange",
            &format!(r#"{{"key":"{}"}}"#, in_base64(key)),
        )
        .await;
    }

    /// The revision of all keys.
    pub(crate) async fn revision(&self) -> String {
        let now = self.post("/v3/kv/range", r#"{"key":"AA=="}"#).await;
        let rest = now.split(r#""revision":""#).nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// The value of one of etcd's metrics.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let metrics = servers::http(self.server.address(), "GET", "/metrics", "").await;
        let metrics = metrics.unwrap();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}"))
            .trim()
            .to_owned()
    }
}

pub(crate) fn in_base64(text: &str) -> String {
    STANDARD.encode(text)
}

pub(crate) fn config(endpoint: &str, prefix: &str) -> EtcdSourceConfig {
    EtcdSourceConfig {
        servers: EtcdServers {
            endpoints: vec![endpoint.to_owned()],
            ..EtcdServers::default()
        },
        keys: KeyFolder {
            prefix: prefix.to_owned(),
            ..KeyFolder::default()
        },
    }
}
