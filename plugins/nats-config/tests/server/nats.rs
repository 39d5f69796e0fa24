//! Servers and buckets of the tests, and what they wait for.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use micro_config::{Config, Error, Source};
use micro_nats_config::{NatsServers, NatsSource, NatsSourceConfig};
pub(crate) use micro_testkit::config::by_hand::{follow, texts};
use servers::{Kind, Server};
use tokio::time::timeout;

/// Long enough for the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn start() -> Option<Server> {
    servers::start_or_skip(Kind::Nats).await
}

/// The keys that a text names, at the server of an address.
pub(crate) fn config(address: SocketAddr, text: &str) -> NatsSourceConfig {
    NatsSourceConfig {
        servers: NatsServers {
            addresses: vec![address.to_string()],
            ..NatsServers::default()
        },
        ..NatsSourceConfig::from_text(text).unwrap()
    }
}

pub(crate) fn source(address: SocketAddr, text: &str) -> NatsSource {
    NatsSource::new(config(address, text)).unwrap()
}

pub(crate) async fn context(address: SocketAddr) -> jetstream::Context {
    jetstream::new(async_nats::connect(address.to_string()).await.unwrap())
}

/// A bucket, as clients of NATS make and fill it.
pub(crate) struct Bucket {
    context: jetstream::Context,
    name: String,
}

/// Makes a bucket, if it is not there.
pub(crate) async fn make(address: SocketAddr, name: &str) -> Bucket {
    make_by(context(address).await, name).await
}

pub(crate) async fn make_by(context: jetstream::Context, name: &str) -> Bucket {
    let config = stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        allow_rollup: true,
        allow_direct: true,
        deny_delete: true,
        discard: stream::DiscardPolicy::New,
        ..stream::Config::default()
    };
    context.get_or_create_stream(config).await.unwrap();
    Bucket {
        context,
        name: name.to_owned(),
    }
}

impl Bucket {
    pub(crate) async fn put(&self, key: &str, value: impl AsRef<[u8]>) {
        self.write(key, value.as_ref(), &[]).await;
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.write(key, b"", &[("KV-Operation", "DEL")]).await;
    }

    pub(crate) async fn purge(&self, key: &str) {
        let headers = [("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")];
        self.write(key, b"", &headers).await;
    }

    async fn write(&self, key: &str, value: &[u8], said: &[(&'static str, &str)]) {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.insert(*name, *value);
        }
        let subject = format!("$KV.{}.{key}", self.name);
        let value = value.to_vec().into();
        let written = self.context.publish_with_headers(subject, headers, value).await;
        written.unwrap().await.unwrap();
    }

    /// Forgets all that was ever put. Nobody is told.
    pub(crate) async fn empty(&self) {
        let stream = self.context.get_stream(format!("KV_{}", self.name)).await;
        stream.unwrap().purge().await.unwrap();
    }

    /// Takes the bucket away.
    pub(crate) async fn remove(self) {
        let removed = self.context.delete_stream(format!("KV_{}", self.name)).await;
        removed.unwrap();
    }
}

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// The texts and values that are read, each with its path.
pub(crate) async fn read(source: &mut NatsSource) -> Vec<(String, String)> {
    texts(&soon(source.read()).await.unwrap())
}

pub(crate) async fn failure(source: &mut NatsSource) -> Error {
    soon(source.read()).await.expect_err("reading fails")
}

/// Waits until the first source is in a state.
pub(crate) async fn until(config: &Config, is_so: impl Fn(&micro_config::SourceState) -> bool) {
    let waiting = async {
        while !is_so(&config.sources()[0].state) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(waiting).await;
}
