//! A Consul process on ports of its own, and what the tests ask of it.

use micro_consul_config::{ConsulAgents, ConsulSource, ConsulSourceConfig, KeyFolder};
pub(crate) use micro_testkit::config::by_hand::{PATIENCE, follow, next, said, until, until_well};
use servers::{Kind, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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

    pub(crate) fn config(&self, prefix: &str) -> ConsulSourceConfig {
        config(&self.server.address().to_string(), prefix)
    }

    pub(crate) fn source(&self, prefix: &str) -> ConsulSource {
        ConsulSource::new(self.config(prefix)).unwrap()
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        let (status, answer) = self.http("PUT", &format!("/v1/kv/{key}"), "", value).await;
        assert_eq!(status, 200, "PUT {key}: {answer}");
    }

    pub(crate) async fn delete(&self, key: &str) {
        let (status, answer) = self.http("DELETE", &format!("/v1/kv/{key}"), "", "").await;
        assert_eq!(status, 200, "DELETE {key}: {answer}");
    }

    /// The status and the answer.
    pub(crate) async fn http(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
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

pub(crate) fn config(agent: &str, prefix: &str) -> ConsulSourceConfig {
    ConsulSourceConfig {
        agents: ConsulAgents {
            addresses: vec![agent.to_owned()],
            ..ConsulAgents::default()
        },
        keys: KeyFolder {
            prefix: prefix.to_owned(),
            ..KeyFolder::default()
        },
    }
}
