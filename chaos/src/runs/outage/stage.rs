//! A broker's server, and a proxy before it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use micro_testkit::proxy::Proxy;
use servers::Kind;

use crate::backend::Backend;
use crate::brokers;

pub(super) struct Stage {
    kind: Kind,
    backend: Backend,
    pub(super) proxy: Proxy,
}

impl Stage {
    pub(super) async fn set(kind: Kind) -> Result<Self> {
        if kind == Kind::Kafka {
            return Self::set_kafka().await;
        }
        let backend = Backend::start(kind).await?;
        let proxy = Proxy::open(backend.address()).await?;
        Ok(Self { kind, backend, proxy })
    }

    /// Kafka tells its clients where to connect to: it must know the proxy, or they would go past it.
    async fn set_kafka() -> Result<Self> {
        let [port] = servers::free_ports()?;
        let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = Proxy::open(behind).await?;
        let arguments = [
            format!("listeners=PROXIED://{behind}"),
            format!("advertised.listeners=PROXIED://{}", proxy.address()),
            "listener.security.protocol.map=PROXIED:PLAINTEXT".to_owned(),
        ];
        Ok(Self {
            kind: Kind::Kafka,
            backend: Backend::start_with(Kind::Kafka, &arguments).await?,
            proxy,
        })
    }

    /// Where clients connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Restarts the server with its data, and waits until it serves.
    pub(super) async fn restart(&mut self) -> Result<()> {
        if brokers::survives_a_kill(self.kind) {
            self.backend.kill().await?;
        } else {
            self.backend.stop().await?;
        }
        self.backend.start_again().await
    }

    /// Ends the server, and waits until it has.
    pub(super) async fn end(self) -> Result<()> {
        self.backend.end().await
    }
}
