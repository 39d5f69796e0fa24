//! Bare datagrams: a number and the message, over a socket for each caller, and one loop that sends all back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Announce, Caller, Peer};

/// The bytes of a request's number.
const NUMBER: usize = 8;
/// The largest datagram that there is.
const DATAGRAM: usize = 65_507;
/// The largest message.
pub(super) const LARGEST: usize = DATAGRAM - NUMBER;
/// When a request is sent again, and how often: datagrams get lost.
const PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 100;

pub(crate) struct Udp;

impl Peer for Udp {
    type Caller = UdpCaller;

    async fn serve(_: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("udp-raw cannot listen on loopback")?;
        announce(&socket.local_addr()?);
        let mut buffer = vec![0; DATAGRAM];
        loop {
            // A caller that has gone shows as an error of a later datagram, which says nothing about the server.
            let Ok((length, caller)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let _ = socket.send_to(&buffer[..length], caller).await;
        }
    }

    async fn connect(address: &str, _: Option<SocketAddr>, callers: usize) -> Result<Vec<UdpCaller>> {
        let mut connected = Vec::with_capacity(callers);
        for _ in 0..callers {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let reached = socket.connect(address).await;
            reached.with_context(|| format!("udp-raw cannot connect to {address}"))?;
            connected.push(UdpCaller {
                socket,
                number: 0,
                request: Vec::new(),
                answer: vec![0; DATAGRAM],
            });
        }
        Ok(connected)
    }
}

/// A caller with a socket of its own.
pub(crate) struct UdpCaller {
    socket: UdpSocket,
    number: u64,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl UdpCaller {
    /// The length of the answer to the last request. Late ones to others are passed over.
    async fn answered(&mut self) -> Result<usize> {
        loop {
            let length = self.socket.recv(&mut self.answer).await?;
            if length >= NUMBER && self.answer[..NUMBER] == self.request[..NUMBER] {
                return Ok(length);
            }
        }
    }
}

impl Caller for UdpCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        ensure!(
            payload.len() <= LARGEST,
            "the message does not fit into a datagram"
        );
        self.number += 1;
        self.request.clear();
        self.request.extend_from_slice(&self.number.to_be_bytes());
        self.request.extend_from_slice(&payload);
        for _ in 0..ATTEMPTS {
            self.socket
                .send(&self.request)
                .await
                .context("a datagram was not sent")?;
            if let Ok(length) = timeout(PAUSE, self.answered()).await {
                let length = length.context("a call over udp-raw failed")?;
                return Ok(Bytes::copy_from_slice(&self.answer[NUMBER..length]));
            }
        }
        anyhow::bail!("udp-raw's server did not answer {ATTEMPTS} datagrams")
    }
}
