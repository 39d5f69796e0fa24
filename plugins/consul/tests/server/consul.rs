//! A Consul process on ports of its own, and what the tests ask of it.

use std::net::SocketAddr;
use std::time::Duration;

use micro_consul::{ConsulConfig, ConsulRegistry};
use micro_core::registry::RegisterOptions;
pub(crate) use micro_testkit::registry::by_hand::{LONG, PATIENCE, greeter, ids, next, register, until};
use servers::{Kind, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The shortest that is tried.
pub(crate) const SHORT: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(1)),
};

pub(crate) struct Consul {
    pub(crate) server: Server,
}

impl Consul {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let server = servers::start_or_skip(Kind::Consul).await?;
        Some(Self { server })
    }

    /// Starts one with further configuration, and further arguments.
    pub(crate) async fn start_with(configuration: &str, arguments: &[&str]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("more.json");
        std::fs::write(&path, configuration).unwrap();
        let file = format!("-config-file={}", path.display());
        let mut arguments = arguments.to_vec();
        arguments.push(&file);
        // It has read its configuration when it accepts connections.
        let server = servers::start_with_or_skip(Kind::Consul, &arguments).await?;
        Some(Self { server })
    }

    /// Starts it again as if it had never been there.
    pub(crate) async fn start_empty(&mut self) {
        self.server.start_empty().await.unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn config(&self) -> ConsulConfig {
        config(self.address())
    }

    pub(crate) async fn connect(&self) -> ConsulRegistry {
        connect(self.config()).await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.http("GET", path, "", "").await.1
    }

    /// Tells the agent something, as anybody may.
    pub(crate) async fn put(&self, path: &str, body: &str) {
        let (status, answer) = self.http("PUT", path, "", body).await;
        assert_eq!(status, 200, "PUT {path}: {answer}");
    }

    /// The status and the answer.
    pub(crate) async fn http(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: consul\r\nx-consul-token: {token}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

pub(crate) fn config(agent: SocketAddr) -> ConsulConfig {
    ConsulConfig::from_addresses(&[agent.to_string()]).unwrap()
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: ConsulConfig) -> ConsulRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match ConsulRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("consul did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
