//! Ports and connections as transports over TCP have them, encrypted or not. For those who write such a transport.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::http::Tls;
use super::http::connection::{Io, prepare};
use super::http::tls;
use crate::{Error, Result};

pub use super::http1::{Http1, serve_http1};
pub use super::port::{Draining, Serve, bind, listen};

/// What HTTP/2 begins with where the client knows that the server speaks it.
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection: sends at once, notices when the other machine vanished, and is encrypted where it was asked for.
pub struct Socket {
    io: Io,
    /// What was read and given back.
    unread: Bytes,
}

/// Makes connections to listeners.
#[derive(Clone)]
pub struct Connector(tls::Connector);

/// Makes connections of what a listener accepted.
#[derive(Clone)]
pub struct Acceptor {
    tls: Option<TlsAcceptor>,
    /// Whether encryption was asked for, for which there may be no identity.
    is_wanted: bool,
}

impl Socket {
    /// A connection of which some bytes were read already, and are read again.
    pub(super) fn new(io: Io, unread: Bytes) -> Self {
        Self { io, unread }
    }

    pub(super) fn into_io(self) -> Io {
        self.io
    }

    /// Whether each write leaves at once, as it does unless this says otherwise. Where it does not, small writes wait for
    /// those before them to arrive and leave together: cheaper for many small questions of which each is answered at
    /// once anyway.
    ///
    /// # Errors
    ///
    /// When the system refuses, as it does on a connection that is closed.
    pub fn set_nodelay(&self, leaves_at_once: bool) -> io::Result<()> {
        let stream = match &self.io {
            Io::Tcp(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        };
        stream.set_nodelay(leaves_at_once)
    }

    /// The protocol (a name of ALPN) that both sides agreed on when they began to encrypt, if they did.
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Tcp(_) => None,
            Io::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether the other side begins to speak HTTP/2. What was read to see it is read again. Sets no limit on the time.
    ///
    /// # Errors
    ///
    /// When the other side is gone.
    pub async fn begins_http2(&mut self) -> io::Result<bool> {
        let mut buffer = [0; HTTP2_PREFACE.len()];
        let mut length = 0;
        while length < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&buffer[..length]) {
            match self.read(&mut buffer[length..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => length += count,
            }
        }
        let read = Bytes::copy_from_slice(&buffer[..length]);
        self.unread = match self.unread.is_empty() {
            true => read,
            false => [read, std::mem::take(&mut self.unread)].concat().into(),
        };
        Ok(buffer == HTTP2_PREFACE)
    }
}

/// Whether the other side refused this side's certificate, which it does before it reads a request.
pub fn is_refused_certificate(problem: &io::Error) -> bool {
    tls::is_refusal(problem)
}

impl Connector {
    /// For connections with this encryption, if any, over which one of the protocols (names of ALPN) is spoken.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub fn new(tls: Option<&Tls>, protocols: &[&str]) -> Result<Self> {
        tls::Connector::new(tls, protocols).map(Self)
    }

    /// Connects to `host:port`. Sets no limit on the time. Cancelled, it leaves no connection behind.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the two cannot agree on the encryption.
    pub async fn connect(&self, address: &str) -> io::Result<Socket> {
        let io = self.0.connect(address).await?;
        Ok(Socket::new(io, Bytes::new()))
    }

    /// The same for one of the addresses of a host that is called by its name: `authority`, also `host:port`, has the
    /// name that an encrypted server must prove where [`Tls::server_name`] names none.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_as(&self, address: &str, authority: &str) -> io::Result<Socket> {
        let io = self.0.connect_as(address, authority).await?;
        Ok(Socket::new(io, Bytes::new()))
    }

    /// Goes on encrypted, if there is encryption, over a connection that began without: for protocols in which both
    /// sides agree on it first. `address`, also `host:port`, has the name that the server must prove where
    /// [`Tls::server_name`] names none. Sets no limit on the time. Cancelled, it closes the connection.
    ///
    /// # Errors
    ///
    /// When the two cannot agree on the encryption.
    pub async fn encrypt(&self, socket: Socket, address: &str) -> io::Result<Socket> {
        match socket.io {
            Io::Tcp(stream) => Ok(Socket::new(self.0.encrypt(stream, address).await?, Bytes::new())),
            Io::Tls(_) => Ok(socket),
        }
    }
}

impl Acceptor {
    /// For connections with this encryption, if any, over which one of the protocols (names of ALPN) is spoken.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub fn new(tls: Option<&Tls>, protocols: &[&str]) -> Result<Self> {
        Ok(Self {
            tls: match tls {
                Some(tls) => tls.acceptor(protocols)?,
                None => None,
            },
            is_wanted: tls.is_some(),
        })
    }

    /// For connections without encryption.
    pub(super) fn plain() -> Self {
        Self {
            tls: None,
            is_wanted: false,
        }
    }

    /// Refuses to listen at an address without the encryption that was asked for.
    ///
    /// # Errors
    ///
    /// With [`Tls`] that has no identity.
    pub fn check(&self, address: &str) -> Result<()> {
        if self.is_wanted && self.tls.is_none() {
            return Err(Error::bad_request(
                "go.micro.transport",
                format!(
                    "cannot listen at {address}: TLS is on but has no identity; give it a certificate and key"
                ),
            ));
        }
        Ok(())
    }

    /// Makes a connection of an accepted one. Sets no limit on the time. Cancelled, it closes the connection.
    ///
    /// # Errors
    ///
    /// When the caller is gone, or the two cannot agree on the encryption.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Socket> {
        prepare(&stream)?;
        let io = match &self.tls {
            None => Io::Tcp(stream),
            Some(acceptor) => Io::Tls(Box::new(TlsStream::Server(acceptor.accept(stream).await?))),
        };
        Ok(Socket::new(io, Bytes::new()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.io {
            Io::Tcp(_) => "Socket",
            Io::Tls(_) => "Socket(encrypted)",
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Acceptor")
    }
}
