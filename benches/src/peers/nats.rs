//! Bare async-nats: requests, and a subscription of a queue that publishes each to where its answer is wanted.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use async_nats::{Client, Subject};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{Announce, Caller, Peer, required};

pub(crate) struct Nats;

impl Peer for Nats {
    type Caller = NatsCaller;

    async fn serve(relay: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let client = client(relay).await?;
        let subject = format!("bench.echo.{:016x}", fastrand::u64(..));
        let mut requests = client
            .queue_subscribe(subject.clone(), "workers".to_owned())
            .await?;
        client.flush().await?;
        announce(&subject);
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, request.payload).await?;
            }
        }
        bail!("the subscription to {subject} has ended")
    }

    async fn connect(address: &str, relay: Option<SocketAddr>, callers: usize) -> Result<Vec<NatsCaller>> {
        let client = client(relay).await?;
        let caller = || NatsCaller {
            client: client.clone(),
            subject: address.into(),
        };
        Ok((0..callers).map(|_| caller()).collect())
    }
}

async fn client(relay: Option<SocketAddr>) -> Result<Client> {
    let relay = required(relay)?;
    let connected = async_nats::connect(relay.to_string()).await;
    connected.with_context(|| format!("nats-raw cannot connect to {relay}"))
}

/// A caller on a client that it shares.
pub(crate) struct NatsCaller {
    client: Client,
    subject: Subject,
}

impl Caller for NatsCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let answer = self.client.request(self.subject.clone(), payload).await;
        Ok(answer.context("a request over nats-raw failed")?.payload)
    }
}
