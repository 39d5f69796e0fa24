//! A Redis process on a port of its own, and what the tests ask of it.

use std::net::SocketAddr;

use micro_redis::{RedisBroker, RedisConfig};
pub(crate) use micro_testkit::broker::by_hand::{
    PATIENCE, body, loses_nothing, next, publish, queue, until_all,
};
use servers::{Kind, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) struct Redis(pub(crate) Server);

impl Redis {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        servers::start_or_skip(Kind::Redis).await.map(Self)
    }

    pub(crate) fn config(&self) -> RedisConfig {
        config(self.0.address())
    }

    pub(crate) async fn connect(&self) -> RedisBroker {
        RedisBroker::connect(self.config()).await.unwrap()
    }

    /// Says a line of commands as anybody may.
    pub(crate) async fn say(&self, line: &str) -> String {
        say(self.0.address(), line).await
    }
}

pub(crate) async fn say(address: SocketAddr, line: &str) -> String {
    let said = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{line}\r\nQUIT\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(PATIENCE, said).await.unwrap()
}

pub(crate) fn config(address: SocketAddr) -> RedisConfig {
    RedisConfig {
        address: address.to_string(),
        ..RedisConfig::default()
    }
}
