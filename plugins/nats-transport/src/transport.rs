//! The transport: what dials and what listens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Result, Transport};
use micro_nats_connection::{NatsConnection, Role, check_subject};
use tokio_util::task::AbortOnDropHandle;

use crate::caller::{NatsPeer, Sockets};
use crate::config::NatsTransportConfig;
use crate::{error, server};

/// Go Micro's transport over NATS. Clones share the connection.
#[derive(Clone)]
pub struct NatsTransport(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) connection: NatsConnection,
    pub(crate) config: NatsTransportConfig,
    pub(crate) sockets: Arc<Sockets>,
    /// Hands answers to their calls.
    _task: AbortOnDropHandle<()>,
}

impl NatsTransport {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no server answers, or the login is wrong.
    pub async fn connect(config: NatsTransportConfig) -> Result<Self> {
        config.check()?;
        let connection = NatsConnection::connect(&config.servers, Role::Transport).await?;
        let sockets = Arc::new(Sockets::new(connection.client().new_inbox()));
        let subscribed = connection.client().subscribe(sockets.all()).await;
        let answers = subscribed.map_err(|_| connection.gone())?;
        let task = sockets
            .clone()
            .run(connection.clone(), config.probe_interval, answers);
        Ok(Self(Arc::new(Shared {
            connection,
            config,
            sockets,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        })))
    }
}

#[async_trait]
impl Transport for NatsTransport {
    fn name(&self) -> &str {
        "nats"
    }

    fn protocol(&self) -> &str {
        micro_core::wire::PROTOCOL
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        check_subject(&node.address).map_err(|why| error::no_address(&node.address, why))?;
        Ok(Arc::new(NatsPeer::new(self.0.clone(), &node.address)))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        Ok(Box::new(server::listen(&self.0, address, handler).await?))
    }
}

impl fmt::Debug for NatsTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsTransport")
            .field("config", &self.0.config)
            .field("connection", &self.0.connection)
            .finish_non_exhaustive()
    }
}
