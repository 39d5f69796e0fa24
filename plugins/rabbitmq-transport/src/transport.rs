//! The transport: a connection to call over, and one for each listener.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::wire::PROTOCOL;
use micro_core::{Handler, Result, Transport};
use micro_rabbitmq_connection::{Link, Role};

use crate::caller::{Caller, Calling};
use crate::config::RabbitmqTransportConfig;
use crate::error;
use crate::listener;
use crate::peer::Peer;

/// Go Micro's RabbitMQ transport. Clones share the connection that they call over, which ends with the last clone and
/// peer; each listener has one of its own.
#[derive(Clone)]
pub struct RabbitmqTransport(Arc<Shared>);

/// What peers share.
pub(crate) struct Shared {
    pub(crate) config: RabbitmqTransportConfig,
    pub(crate) link: Link<Caller>,
}

impl RabbitmqTransport {
    /// Connects, and declares the exchange.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no node can be reached, the login is refused, or the exchange was declared
    /// otherwise by somebody else.
    pub async fn connect(config: RabbitmqTransportConfig) -> Result<Self> {
        config.check()?;
        let calling = Calling {
            exchange: config.exchange.as_str().into(),
            is_durable: config.durable_exchange,
        };
        let link = Link::connect(config.server.clone(), Role::Transport, calling).await?;
        Ok(Self(Arc::new(Shared { config, link })))
    }
}

#[async_trait]
impl Transport for RabbitmqTransport {
    fn name(&self) -> &str {
        "rabbitmq"
    }

    fn protocol(&self) -> &str {
        PROTOCOL
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        error::check(&node.address).map_err(micro_core::Error::never_started)?;
        Ok(Arc::new(Peer::new(self.0.clone(), &node.address)))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        let listener = listener::listen(address, handler, &self.0.config).await?;
        Ok(Box::new(listener))
    }
}

impl fmt::Debug for RabbitmqTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RabbitmqTransport")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
