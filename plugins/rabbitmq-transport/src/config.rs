//! How calls travel.

use std::time::Duration;

use micro_core::Result;
use micro_rabbitmq_connection::{RABBITMQ, RabbitmqServer, Role};

/// How to carry calls over RabbitMQ. The default meets Go Micro's services.
#[derive(Debug, Clone)]
pub struct RabbitmqTransportConfig {
    /// Where RabbitMQ is, and how to log in.
    pub server: RabbitmqServer,
    /// The exchange that requests go through; of type `topic`. Default: `micro`, as Go Micro.
    pub exchange: String,
    /// Whether the exchange outlives a restart of RabbitMQ. Everybody who declares it must say the same. Default: no, as
    /// Go Micro.
    pub durable_exchange: bool,
    /// The largest message, in bytes, sent or received. RabbitMQ has a limit of its own, `max_message_size`. Default:
    /// 16 MiB, which is RabbitMQ's since version 4.
    pub max_message: usize,
    /// How many calls a listener handles at once; further ones are refused. Default: 10,000.
    pub max_calls: usize,
    /// How many messages of a stream may be under way to a reader that is slow. Between this crate's peers, the writer
    /// waits; of a peer in Go, which does not wait, sixteen times as many are kept before the stream is cut. Default: 64.
    pub window: usize,
    /// How long sending may take, the waiting for a lost connection included. Default: 5 s.
    pub send_timeout: Duration,
    /// How often it is asked, while an answer is waited for, whether anybody still listens at the address. Default: 2 s.
    pub presence_interval: Duration,
}

impl Default for RabbitmqTransportConfig {
    fn default() -> Self {
        Self {
            server: RabbitmqServer::default(),
            exchange: "micro".to_owned(),
            durable_exchange: false,
            max_message: 16 * 1024 * 1024,
            max_calls: 10_000,
            window: 64,
            send_timeout: Duration::from_secs(5),
            presence_interval: Duration::from_secs(2),
        }
    }
}

impl RabbitmqTransportConfig {
    /// Takes the texts of `--transport_address` as the addresses of the [`server`](Self::server). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        Ok(Self {
            server: RabbitmqServer::from_addresses(addresses, Role::Transport)?,
            ..Self::default()
        })
    }

    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |why: &str| Err(RABBITMQ.misconfigured(Role::Transport, why));
        if self.exchange.is_empty() || self.exchange.len() > 255 {
            return wrong("the name of the exchange has from 1 to 255 bytes");
        }
        if self.max_message == 0 || self.max_calls == 0 {
            return wrong("`max_message` and `max_calls` of zero let nothing through");
        }
        if !(2..=1 << 20).contains(&self.window) {
            return wrong("`window` is from 2 to 1,048,576 messages");
        }
        if self.send_timeout.is_zero() || self.presence_interval.is_zero() {
            return wrong("`send_timeout` and `presence_interval` of zero leave no time");
        }
        Ok(())
    }
}
