//! What survives when Kafka is away: the second suite, with a proxy for each case before a Kafka of the tests' own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use micro_core::Result;
use micro_kafka::{KafkaBroker, KafkaConfig};
use micro_testkit::proxy::Proxy;
use servers::{Kind, Server};
use tokio::sync::Mutex;

/// More than there are cases, which run side by side.
const LISTENERS: usize = 16;

/// A Kafka with a listener for each case: it tells its clients another address at each, that of the case's proxy, so
/// that none goes past it.
struct Stage {
    _server: Server,
    proxies: Mutex<Vec<Proxy>>,
}

/// Kept while a case uses it.
static STAGE: Mutex<Weak<Stage>> = Mutex::const_new(Weak::new());

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let ports: [u16; LISTENERS] = servers::free_ports()?;
        let mut proxies = Vec::new();
        let (mut listeners, mut advertised, mut protocols) = (Vec::new(), Vec::new(), Vec::new());
        for (index, port) in ports.into_iter().enumerate() {
            let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let proxy = Proxy::open(server).await?;
            listeners.push(format!("CASE{index}://{server}"));
            advertised.push(format!("CASE{index}://{}", proxy.address()));
            protocols.push(format!("CASE{index}:PLAINTEXT"));
            proxies.push(proxy);
        }
        let arguments = [
            format!("listeners={}", listeners.join(",")),
            format!("advertised.listeners={}", advertised.join(",")),
            format!("listener.security.protocol.map={}", protocols.join(",")),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(Self {
            _server: Server::start_with(Kind::Kafka, &arguments).await?,
            proxies: Mutex::new(proxies),
        })
    }
}

async fn stage() -> anyhow::Result<(Proxy, Arc<Stage>)> {
    let mut shared = STAGE.lock().await;
    let stage = match shared.upgrade() {
        Some(stage) => stage,
        None => Arc::new(Stage::start().await?),
    };
    *shared = Arc::downgrade(&stage);
    let mut proxy = stage.proxies.lock().await.pop().unwrap();
    // Carried by this case's runtime from now on; the one that made it may have ended.
    proxy.cut().await;
    proxy.mend().await?;
    Ok((proxy, stage))
}

async fn connect(address: SocketAddr) -> Result<KafkaBroker> {
    KafkaBroker::connect(KafkaConfig {
        servers: vec![address.to_string()],
        publish_timeout: Duration::from_secs(5),
        ..KafkaConfig::default()
    })
    .await
}

micro_testkit::broker_outages!(stage, connect);
