//! What every source of configuration must do, at a real NATS, also where it cannot be reached for a while.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use micro_config::{Error, ErrorKind, Result, Source, async_trait};
use micro_nats_config::{NatsServers, NatsSource, NatsSourceConfig};
use micro_testkit::config::{Place, SourceTraits};
use micro_testkit::proxy::Proxy;
use tokio::sync::Mutex;

/// The NATS that `MICRO_NATS` or `MICRO_NATS_ADDRESS` names, or else that of this machine.
fn address() -> SocketAddr {
    let named = ["MICRO_NATS", "MICRO_NATS_ADDRESS"];
    let named = named.into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|named| !named.is_empty());
    let named = named.unwrap_or_else(|| "127.0.0.1:4222".to_owned());
    named.to_socket_addrs().unwrap().next().unwrap()
}

/// A bucket of a case's own.
struct Bucket {
    context: jetstream::Context,
    name: String,
    proxy: Mutex<Proxy>,
    /// Whether the bucket itself goes when its key is removed, and is made when it is put.
    comes_and_goes: bool,
}

impl Bucket {
    async fn at(address: SocketAddr, comes_and_goes: bool) -> Result<Self> {
        let client = async_nats::connect(address.to_string()).await;
        let client = client.map_err(|problem| {
            failed(format!(
                "{problem}; these tests need a NATS with JetStream at 127.0.0.1:4222, or where MICRO_NATS says; \
                 `cargo xtask backends up nats` starts one"
            ))
        })?;
        let bucket = Self {
            context: jetstream::new(client),
            name: format!("micro-test-{:016x}", fastrand::u64(..)),
            proxy: Mutex::new(Proxy::open(address).await.map_err(failed)?),
            comes_and_goes,
        };
        if !comes_and_goes {
            bucket.make().await?;
        }
        Ok(bucket)
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    async fn make(&self) -> Result<()> {
        let config = stream::Config {
            name: self.stream(),
            subjects: vec![format!("$KV.{}.>", self.name)],
            max_messages_per_subject: 1,
            allow_rollup: true,
            storage: stream::StorageType::Memory,
            ..stream::Config::default()
        };
        let made = self.context.get_or_create_stream(config).await;
        made.map(drop).map_err(failed)
    }

    async fn write(&self, headers: async_nats::HeaderMap, value: &str) -> Result<()> {
        let subject = format!("$KV.{}.greeter.app", self.name);
        let written = self
            .context
            .publish_with_headers(subject, headers, value.to_owned().into());
        let confirmed = written.await.map_err(failed)?.await;
        confirmed.map(drop).map_err(failed)
    }
}

#[async_trait]
impl Place for Bucket {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let config = NatsSourceConfig {
            servers: NatsServers {
                addresses: vec![self.proxy.lock().await.address().to_string()],
                ..NatsServers::default()
            },
            ..NatsSourceConfig::from_text(&format!("{}/greeter.app", self.name))?
        };
        Ok(Box::new(NatsSource::new(config)?))
    }

    async fn put(&self, text: &str) -> Result<()> {
        if self.comes_and_goes {
            self.make().await?;
        }
        self.write(async_nats::HeaderMap::new(), text).await
    }

    async fn remove(&self) -> Result<()> {
        if self.comes_and_goes {
            let removed = self.context.delete_stream(self.stream()).await;
            return removed.map(drop).map_err(failed);
        }
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        self.write(headers, "").await
    }

    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        Some(&self.proxy)
    }

    async fn clean(&self) {
        // It may be gone already.
        let _ = self.context.delete_stream(self.stream()).await;
    }
}

fn failed(problem: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, problem)
}

micro_testkit::source_conformance!(|| Bucket::at(address(), false));

/// The bucket itself is made and deleted.
mod a_bucket_that_comes_and_goes {
    use super::*;

    micro_testkit::source_conformance!(
        || Bucket::at(address(), true),
        SourceTraits {
            // That a bucket is gone is known from its silence.
            seen_within: Duration::from_secs(10),
            ..SourceTraits::default()
        },
    );
}
