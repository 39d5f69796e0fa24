//! The socket under the gossip: it counts what was told, and with a key encrypts it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use chitchat::transport::{RecvOutcome, SendOutcome, Socket, Transport, UdpSocket as ChitchatSocket};
use chitchat::{ChitchatEnvelope, ChitchatMessage};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::GossipKey;
use crate::seal::{Heard, MAX_DATAGRAM, Seal};

/// How long the way over the loopback interface may take.
const AROUND: Duration = Duration::from_millis(200);

/// What a socket tells of itself, and is told by tests.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// How many messages with news were sent.
    pub(crate) told: watch::Sender<u64>,
    /// How many messages were sent and received in all.
    pub(crate) messages: watch::Sender<u64>,
    /// Nothing comes through, as if the network were cut.
    pub(crate) is_cut_off: AtomicBool,
}

/// A socket that is open already, because its address must be known before the gossip begins.
pub(crate) struct Opened(Mutex<Option<Box<dyn Socket>>>);

impl Opened {
    /// Binds the address, and returns the one that it became.
    pub(crate) async fn bind(
        at: SocketAddr,
        key: Option<&GossipKey>,
        traffic: Arc<Traffic>,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        let inner: Box<dyn Socket> = match key {
            Some(key) => Box::new(Sealed::bind(at, key).await?),
            None => Box::new(ChitchatSocket::open(at).await?),
        };
        let bound = inner.local_addr()?;
        let observed = Observed { inner, traffic };
        Ok((Self(Mutex::new(Some(Box::new(observed)))), bound))
    }
}

#[async_trait]
impl Transport for Opened {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.take().context("the socket is used already")
    }
}

struct Observed {
    inner: Box<dyn Socket>,
    traffic: Arc<Traffic>,
}

#[async_trait]
impl Socket for Observed {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Does not fail: that one member cannot be reached now is what gossip is for.
    async fn send(&mut self, to: SocketAddr, envelope: ChitchatEnvelope) -> anyhow::Result<SendOutcome> {
        let has_news = matches!(
            envelope.message,
            ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. }
        );
        if self.traffic.is_cut_off.load(Ordering::Relaxed) {
            return Ok(SendOutcome { num_bytes_sent: 0 });
        }
        let sent = self.inner.send(to, envelope).await.unwrap_or_else(|problem| {
            tracing::debug!("gossip: cannot send to {to}: {problem:#}");
            SendOutcome { num_bytes_sent: 0 }
        });
        self.traffic.messages.send_modify(|messages| *messages += 1);
        if has_news && sent.num_bytes_sent > 0 {
            self.traffic.told.send_modify(|told| *told += 1);
        }
        Ok(sent)
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        loop {
            let received = self.inner.recv().await?;
            if !self.traffic.is_cut_off.load(Ordering::Relaxed) {
                self.traffic.messages.send_modify(|messages| *messages += 1);
                return Ok(received);
            }
        }
    }
}

/// A socket whose datagrams are sealed.
///
/// Only chitchat's own socket can write and read its messages; so each goes through one, from this process to itself.
struct Sealed {
    outer: tokio::net::UdpSocket,
    seal: Seal,
    codec: ChitchatSocket,
    /// The other end of `codec`, and hears nobody else.
    mirror: tokio::net::UdpSocket,
    mirror_address: SocketAddr,
    /// Who sent the message that is on its way to `codec`.
    under_way: Option<SocketAddr>,
    buffer: Vec<u8>,
}

impl Sealed {
    async fn bind(at: SocketAddr, key: &GossipKey) -> anyhow::Result<Self> {
        let outer = tokio::net::UdpSocket::bind(at).await?;
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let codec = ChitchatSocket::open(inside).await?;
        let mirror = tokio::net::UdpSocket::bind(inside).await?;
        mirror.connect(codec.local_addr()?).await?;
        Ok(Self {
            outer,
            seal: Seal::new(key).context("this machine gives no random bytes")?,
            codec,
            mirror_address: mirror.local_addr()?,
            mirror,
            under_way: None,
            buffer: vec![0; MAX_DATAGRAM],
        })
    }

    /// Hears a datagram and sends its message to `codec`. Returns the sender, if the datagram is a member's.
    async fn hear(&mut self) -> anyhow::Result<Option<SocketAddr>> {
        let (length, from) = match self.outer.recv_from(&mut self.buffer).await {
            Ok(received) => received,
            // That a former datagram found nobody.
            Err(problem) if is_transient(&problem) => return Ok(None),
            Err(problem) => return Err(problem.into()),
        };
        let message = match self.seal.open(&mut self.buffer[..length]) {
            Heard::Message(message) => message,
            Heard::Half => return Ok(None),
            Heard::Nothing => {
                tracing::debug!(
                    "gossip: {from} sent {length} bytes that are not sealed with the key of this cluster"
                );
                return Ok(None);
            }
        };
        self.mirror.send(&message).await?;
        Ok(Some(from))
    }
}

#[async_trait]
impl Socket for Sealed {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.outer.local_addr()?)
    }

    async fn send(&mut self, to: SocketAddr, envelope: ChitchatEnvelope) -> anyhow::Result<SendOutcome> {
        // What a send that was given up left behind.
        while self.mirror.try_recv(&mut self.buffer).is_ok() {}
        self.codec.send(self.mirror_address, envelope).await?;
        let length = timeout(AROUND, self.mirror.recv(&mut self.buffer)).await??;
        let sealed = self.seal.seal(&self.buffer[..length]);
        let mut num_bytes_sent = 0;
        for datagram in sealed.context("the message cannot be sealed")? {
            num_bytes_sent += self.outer.send_to(&datagram, to).await?;
        }
        Ok(SendOutcome { num_bytes_sent })
    }

    /// May be dropped at each await: a message that is under way is fetched by the next call.
    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        loop {
            let Some(from) = self.under_way else {
                self.under_way = self.hear().await?;
                continue;
            };
            let Ok(received) = timeout(AROUND, self.codec.recv()).await else {
                // It was no message, for instance of another version.
                self.under_way = None;
                continue;
            };
            let mut received = received?;
            // Others of this machine can send there, too.
            if received.from_addr == self.mirror_address {
                self.under_way = None;
                received.from_addr = from;
                return Ok(received);
            }
        }
    }
}

fn is_transient(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::OutOfMemory
    )
}
