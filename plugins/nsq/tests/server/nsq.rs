//! An nsqd process on ports of its own, and what the tests ask of it.

use std::net::SocketAddr;
use std::time::Duration;

use micro_nsq::{NsqBroker, NsqConfig};
pub(crate) use micro_testkit::broker::by_hand::{
    PATIENCE, body, loses_nothing, next, publish, queue, until_all,
};
use servers::{Kind, Server};
use tokio::time::{sleep, timeout};

pub(crate) struct Nsqd(pub(crate) Server);

impl Nsqd {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        servers::start_or_skip(Kind::Nsq).await.map(Self)
    }

    /// Starts one with further arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Option<Self> {
        servers::start_with_or_skip(Kind::Nsq, arguments).await.map(Self)
    }

    pub(crate) fn config(&self) -> NsqConfig {
        config(&[self.0.address()])
    }

    pub(crate) async fn connect(&self) -> NsqBroker {
        connect(self.config()).await
    }

    /// Waits until it says this of a topic.
    pub(crate) async fn until_says(&self, topic: &str, part: &str) {
        let path = format!("/stats?format=json&topic={topic}");
        let said = async {
            loop {
                let stats = servers::http(self.0.http_address(), "GET", &path, "").await;
                if stats.is_ok_and(|stats| stats.contains(part)) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, said)
            .await
            .unwrap_or_else(|_| panic!("nsqd never says {part} of {topic}"));
    }
}

pub(crate) fn config(addresses: &[SocketAddr]) -> NsqConfig {
    NsqConfig {
        nsqds: addresses.iter().map(SocketAddr::to_string).collect(),
        ..NsqConfig::default()
    }
}

pub(crate) async fn connect(config: NsqConfig) -> NsqBroker {
    NsqBroker::connect(config).await.unwrap()
}
