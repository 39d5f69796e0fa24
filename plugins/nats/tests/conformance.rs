//! The broker's contract, held to by a real NATS: as it is, and with JetStream.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use micro_core::Result;
use micro_nats::{JetStream, NatsBroker, NatsConfig, NatsServers, Storage};
use micro_testkit::broker::BrokerTraits;
use tokio::sync::OnceCell;

/// The NATS that `MICRO_NATS` or `MICRO_NATS_ADDRESS` names, or else that of this machine.
fn servers() -> NatsServers {
    let named = ["MICRO_NATS", "MICRO_NATS_ADDRESS"];
    let named = named.into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|named| !named.is_empty());
    NatsServers {
        addresses: vec![named.unwrap_or_else(|| "127.0.0.1:4222".to_owned())],
        ..NatsServers::default()
    }
}

async fn connect(config: NatsConfig) -> Result<NatsBroker> {
    let connected = NatsBroker::connect(config).await;
    connected.map_err(|error| {
        error.context(
            "these tests need a NATS with JetStream at 127.0.0.1:4222, or where MICRO_NATS says; `cargo xtask backends \
             up nats` starts one",
        )
    })
}

mod plain {
    use super::*;

    micro_testkit::broker_conformance!(
        || connect(NatsConfig {
            servers: servers(),
            ..NatsConfig::default()
        }),
        BrokerTraits {
            redelivers_dropped: false,
            // What is on its way to a subscription that leaves is lost.
            drains_without_loss: false,
            ..BrokerTraits::default()
        },
    );
}

mod jetstream {
    use super::*;

    const PREFIX: &str = "conformance";

    micro_testkit::broker_conformance!(
        durable,
        BrokerTraits {
            redelivers_rejected: true,
            arrives_within: Duration::from_secs(20),
            ..BrokerTraits::default()
        },
    );

    async fn durable() -> Result<NatsBroker> {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT.get_or_init(sweep).await;
        connect(NatsConfig {
            servers: servers(),
            jetstream: Some(JetStream {
                stream: PREFIX.to_owned(),
                storage: Storage::Memory,
                ack_wait: Duration::from_secs(5),
                ..JetStream::default()
            }),
            ..NatsConfig::default()
        })
        .await
    }

    /// Takes away what runs before this one have left: the streams that nobody has used for a while.
    async fn sweep() {
        use futures_util::StreamExt;
        let Ok(client) = async_nats::connect(servers().addresses).await else {
            return;
        };
        let context = async_nats::jetstream::new(client);
        let mut streams = context.streams();
        while let Some(Ok(stream)) = streams.next().await {
            let age = std::time::SystemTime::now().duration_since(stream.created.into());
            let is_old = age.is_ok_and(|age| age > Duration::from_secs(300));
            if stream.config.name.starts_with(PREFIX) && is_old {
                let _ = context.delete_stream(stream.config.name).await;
            }
        }
    }
}
