//! etcd, a single member.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use crate::process::{Server, Site, http};
use crate::{Kind, programs, start_or_skip, start_with_or_skip};

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let mut command = Command::new(programs::of(Kind::Etcd)?);
    let [clients, peers] = [0, 1].map(|port| format!("http://127.0.0.1:{}", site.ports[port]));
    command
        .args([
            "--name",
            "test",
            "--unsafe-no-fsync",
            "--logger",
            "zap",
            "--log-level",
            "error",
        ])
        // So that a single member elects itself at once, and leases may be as short as a second.
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .arg("--data-dir")
        .arg(site.data.join("etcd"))
        .args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ])
        .args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ])
        .args(["--initial-cluster", &format!("test={peers}")]);
    Ok(command)
}

pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let health = http(address, "GET", "/health", "").await?;
    ensure!(health.contains(r#""health":"true""#), "its health is {health}");
    Ok(())
}

/// An etcd of a test's own, and what the test asks of it. All of it panics when the server does not do it.
pub struct Etcd {
    /// The process.
    pub server: Server,
    scheme: &'static str,
}

impl Etcd {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub async fn start() -> Option<Self> {
        let server = start_or_skip(Kind::Etcd).await?;
        Some(Self {
            server,
            scheme: "http",
        })
    }

    /// Starts one with certificates and whatever else the arguments say.
    pub async fn start_encrypted(arguments: &[&str]) -> Option<Self> {
        let address = "https://{address}";
        let mut arguments = arguments.to_vec();
        arguments.extend([
            "--listen-client-urls",
            address,
            "--advertise-client-urls",
            address,
        ]);
        let server = start_with_or_skip(Kind::Etcd, &arguments).await?;
        Some(Self {
            server,
            scheme: "https",
        })
    }

    /// Where it serves: `http://127.0.0.1:2379`.
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address())
    }

    /// Asks etcd's JSON gateway.
    pub async fn post(&self, path: &str, body: &str) -> String {
        self.http("POST", path, body).await
    }

    /// Puts a value at a key, as anybody may.
    pub async fn put(&self, key: &str, value: &str) {
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, in_base64(key), in_base64(value));
        self.post("/v3/kv/put", &body).await;
    }

    /// Deletes a key, as anybody may.
    pub async fn delete(&self, key: &str) {
        let body = format!(r#"{{"key":"{}"}}"#, in_base64(key));
        self.post("/v3/kv/deleterange", &body).await;
    }

    /// Lets it forget what happened up to now.
    pub async fn forget_history(&self) {
        let now = self.post("/v3/kv/range", r#"{"key":"AA=="}"#).await;
        let revision = after(&now, r#""revision":""#).unwrap_or_else(|| panic!("no revision: {now}"));
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        self.post("/v3/kv/compaction", &body).await;
    }

    /// The value of one of etcd's metrics.
    pub async fn metric(&self, name: &str) -> String {
        let metrics = self.http("GET", "/metrics", "").await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no metric {name}"));
        value.trim().to_owned()
    }

    async fn http(&self, method: &str, path: &str, body: &str) -> String {
        let answer = http(self.server.address(), method, path, body).await;
        answer.unwrap_or_else(|problem| panic!("{method} {path}: {problem:#}"))
    }
}

/// A text as etcd's JSON gateway wants keys and values.
pub fn in_base64(text: &str) -> String {
    STANDARD.encode(text)
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split(start).nth(1)?.split('"').next()
}
