//! How events are published and subscribed to.

use std::time::Duration;

use micro_core::Result;
use micro_rabbitmq_connection::{RABBITMQ, RabbitmqServer, Role};

/// What a name of AMQP may have, in bytes.
pub(crate) const LONGEST_NAME: usize = 255;

/// How to use RabbitMQ as a broker. The default is what Go Micro does by default, with confirmed publishing and
/// acknowledged events.
#[derive(Debug, Clone)]
pub struct RabbitmqConfig {
    /// Where RabbitMQ is, and how to log in.
    pub server: RabbitmqServer,
    /// The exchange that all events go through; of type `topic`. Only services of the same exchange meet. `None`:
    /// without one, a topic is the queue of its name and all its subscribers share it. Default: `micro`, as Go Micro.
    pub exchange: Option<String>,
    /// What outlives a restart of RabbitMQ. Default: nothing, as Go Micro; [`Durable::ALL`] for events that must not be
    /// lost.
    pub durable: Durable,
    /// How queues are named and declared.
    pub queues: Queues,
    /// Whether a rejected event comes again. Otherwise it goes to the queue's dead-letter exchange, or is gone.
    /// Default: no, as Go Micro.
    pub requeue_rejected: bool,
    /// Whether publishing waits until RabbitMQ has confirmed the message. Without, it returns when the message is
    /// written, and what was on its way when a connection is lost is lost with it. Default: yes.
    pub confirms: bool,
    /// How long publishing may take, the waiting for a lost connection included. Default: 10 s.
    pub publish_timeout: Duration,
    /// How many messages may be on their way at once, unconfirmed; further ones wait. Default: 1024.
    pub max_pending: usize,
    /// The largest body, in bytes. RabbitMQ has a limit of its own, `max_message_size`, and closes the channel of
    /// whoever goes past it. Default: 16 MiB, which is RabbitMQ's since version 4.
    pub max_message: usize,
}

/// What outlives a restart of RabbitMQ. Everybody who declares an exchange or a queue must say the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durable {
    /// The exchange is there without being declared anew. Default: no.
    pub exchange: bool,
    /// Queues stay when RabbitMQ restarts and when their last subscriber goes; a subscription without a queue has one that
    /// stays for [`Queues::abandoned_after`]. Default: no: a queue goes with its last subscriber or with RabbitMQ, and
    /// with it the events that are in it.
    pub queues: bool,
    /// Messages are written to disk, where they are in durable queues. Default: no.
    pub messages: bool,
}

impl Durable {
    /// Everything: what was published and confirmed to a queue that has been subscribed to is not lost.
    pub const ALL: Self = Self {
        exchange: true,
        queues: true,
        messages: true,
    };
}

/// How queues are named and declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// How the queue of several subscribers is called at RabbitMQ. Default: [`QueueNames::AsGiven`].
    pub names: QueueNames,
    /// Whether queues with a name are replicated quorum queues, which count how often they give out an event. They are
    /// durable, whatever [`Durable::queues`] says. Default: no.
    pub quorum: bool,
    /// The exchange that gets the events which are rejected, or which the queue drops. It is not declared here.
    /// Default: none.
    pub dead_letter_exchange: Option<String>,
    /// When RabbitMQ deletes a durable queue with a name that nobody is subscribed to, and the events in it. From 1 s to
    /// 49 days. Default: never.
    pub unused_for: Option<Duration>,
    /// When RabbitMQ deletes the durable queue of a subscription without a queue that nobody is subscribed to any more,
    /// as when its process died. From 1 s to 49 days. Default: 10 min.
    pub abandoned_after: Duration,
}

/// How the queue of several subscribers is called at RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueNames {
    /// By the name of the queue alone, as Go Micro does, so that members in Go and in Rust share it. RabbitMQ then has
    /// one queue of that name, whatever the topics. Where a broker here subscribes a second topic with a queue's name,
    /// that one's queue is called `<queue>:<topic>`.
    #[default]
    AsGiven,
    /// `<queue>:<topic>`, always. Right for services that have several topics with one name of a queue, when no members
    /// in Go share it.
    PerTopic,
}

impl Default for RabbitmqConfig {
    fn default() -> Self {
        Self {
            server: RabbitmqServer::default(),
            exchange: Some("micro".to_owned()),
            durable: Durable::default(),
            queues: Queues::default(),
            requeue_rejected: false,
            confirms: true,
            publish_timeout: Duration::from_secs(10),
            max_pending: 1024,
            max_message: 16 * 1024 * 1024,
        }
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            names: QueueNames::default(),
            quorum: false,
            dead_letter_exchange: None,
            unused_for: None,
            abandoned_after: Duration::from_secs(600),
        }
    }
}

impl RabbitmqConfig {
    /// Takes the texts of `--broker_address` as the addresses of the [`server`](Self::server). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        Ok(Self {
            server: RabbitmqServer::from_addresses(addresses, Role::Broker)?,
            ..Self::default()
        })
    }

    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |why: &str| Err(RABBITMQ.misconfigured(Role::Broker, why));
        let names = [&self.exchange, &self.queues.dead_letter_exchange];
        if names
            .into_iter()
            .flatten()
            .any(|name| name.is_empty() || name.len() > LONGEST_NAME)
        {
            return wrong("the name of an exchange has from 1 to 255 bytes; `exchange: None` is for none");
        }
        if self.publish_timeout.is_zero() || self.max_pending == 0 || self.max_message == 0 {
            return wrong(
                "`publish_timeout`, `max_pending` and `max_message` of zero let nothing be published",
            );
        }
        let times = [Some(self.queues.abandoned_after), self.queues.unused_for];
        let is_possible = |time: Duration| (1000..=u128::from(u32::MAX)).contains(&time.as_millis());
        if !times.into_iter().flatten().all(is_possible) {
            return wrong("`abandoned_after` and `unused_for` are from 1 s to 49 days");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(RabbitmqConfig::default().check().is_ok());
        let wrong = [
            RabbitmqConfig {
                exchange: Some(String::new()),
                ..RabbitmqConfig::default()
            },
            RabbitmqConfig {
                max_pending: 0,
                ..RabbitmqConfig::default()
            },
            RabbitmqConfig {
                queues: Queues {
                    abandoned_after: Duration::ZERO,
                    ..Queues::default()
                },
                ..RabbitmqConfig::default()
            },
        ];
        for config in wrong {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
