//! The ZooKeepers that the tests talk to: the one that is there for all tests, under a path of the test's own; and
//! processes of their own, where a test restarts or configures one.

use std::time::Duration;

pub(crate) use micro_testkit::registry::by_hand::{LONG, PATIENCE, greeter, ids, next, register};
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};
use servers::{Kind, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::Raw;

/// The ZooKeeper that `MICRO_ZOOKEEPER` names, or else that of this machine.
pub(crate) fn shared_address() -> String {
    let named = std::env::var("MICRO_ZOOKEEPER").unwrap_or_else(|_| "127.0.0.1:2181".into());
    named.split(',').next().unwrap().to_owned()
}

/// A configuration for the shared ZooKeeper with a path that no other test has.
pub(crate) fn shared() -> ZookeeperConfig {
    ZookeeperConfig {
        servers: vec![shared_address()],
        path: format!("/micro-test-{:016x}", fastrand::u64(..)),
        ..ZookeeperConfig::default()
    }
}

/// Looks at the shared ZooKeeper with other eyes.
pub(crate) async fn raw() -> Raw {
    Raw::connect(&shared_address()).await
}

/// A process on a port of its own.
pub(crate) struct Zookeeper {
    pub(crate) server: Server,
}

impl Zookeeper {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let server = servers::start_or_skip(Kind::Zookeeper).await?;
        Some(Self { server })
    }

    /// Starts one with arguments for Java and lines of its configuration.
    pub(crate) async fn start_with(arguments: &[&str]) -> Option<Self> {
        let server = servers::start_with_or_skip(Kind::Zookeeper, arguments).await?;
        Some(Self { server })
    }

    pub(crate) fn address(&self) -> String {
        self.server.address().to_string()
    }

    pub(crate) fn config(&self) -> ZookeeperConfig {
        ZookeeperConfig {
            servers: vec![self.address()],
            ..ZookeeperConfig::default()
        }
    }

    pub(crate) async fn connect(&self) -> ZookeeperRegistry {
        connect(self.config()).await
    }

    /// The answer to one of the words of four letters.
    pub(crate) async fn word(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    }
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: ZookeeperConfig) -> ZookeeperRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match ZookeeperRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("ZooKeeper did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
